package checkpoint

import (
	"encoding/binary"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/zeebo/xxh3"
)

// Anchor fingerprints the batch a cursor stands at. Two anchors are equal when
// they were taken from the same batch, whichever node served it; batches of
// different content have equal anchors with a probability near 2⁻⁶⁴ even when
// time, position and writer agree. An anchor is no defence against a writer who
// searches for collisions.
type Anchor struct {
	ServerTimestamp uint64
	// EventSeq is the position of the batch's last event.
	EventSeq uint64
	ClientID msg.ID
	// Hash covers version, user and every field and payload of every event.
	// The hash of a batch is the same in every release.
	Hash uint64
}

// AnchorOf fingerprints a batch as it was committed. A batch narrowed by
// event-level read filters has another anchor than the whole one.
func AnchorOf(b *msg.Batch) Anchor {
	return Anchor{
		ServerTimestamp: b.ServerTimestamp,
		EventSeq:        b.LastEventSeq(),
		ClientID:        b.ClientID,
		Hash:            contentHash(b),
	}
}

// contentHash is XXH3-64 with seed 0 over an unambiguous encoding: integers
// are 8 little-endian bytes, an optional value is one byte 0 or 1 followed by
// its bytes (zeros when absent), payloads follow their length, lists follow
// their count. Stored anchors depend on it: it must never change.
func contentHash(b *msg.Batch) uint64 {
	size := batchSize + len(b.Events)*eventSize
	for i := range b.Events {
		size += len(b.Events[i].Value)
	}
	var gathered [2 << 10]byte
	putBatch((*[batchSize]byte)(gathered[:]), b)
	if size <= len(gathered) {
		// At once is several times faster than piece by piece.
		at := batchSize
		for i := range b.Events {
			e := &b.Events[i]
			putEvent((*[eventSize]byte)(gathered[at:]), e)
			at += eventSize
			at += copy(gathered[at:], e.Value)
		}
		return xxh3.Hash(gathered[:size])
	}
	var h xxh3.Hasher
	_, _ = h.Write(gathered[:batchSize])
	for i := range b.Events {
		putEvent((*[eventSize]byte)(gathered[:]), &b.Events[i])
		_, _ = h.Write(gathered[:eventSize])
		_, _ = h.Write(b.Events[i].Value)
	}
	return h.Sum64()
}

const (
	batchSize = 8 + 1 + len(msg.ID{}) + 8
	eventSize = 8 + 8 + 1 + len(msg.ID{}) + 8 + 8 + 8 + 1 + len(msg.IV{}) + 8
)

func putBatch(p *[batchSize]byte, b *msg.Batch) {
	le.PutUint64(p[0:], b.Version)
	putOptional(p[8:25], b.UserID.Set, b.UserID.Value[:])
	le.PutUint64(p[25:], uint64(len(b.Events)))
}

func putEvent(p *[eventSize]byte, e *msg.Event) {
	le.PutUint64(p[0:], e.ClientSeq)
	le.PutUint64(p[8:], e.EventSeq)
	putOptional(p[16:33], e.EventID.Set, e.EventID.Value[:])
	le.PutUint64(p[33:], e.Timestamp)
	le.PutUint64(p[41:], e.Major)
	le.PutUint64(p[49:], e.Minor)
	putOptional(p[57:70], e.IV.Set, e.IV.Value[:])
	le.PutUint64(p[70:], uint64(len(e.Value)))
}

var le = binary.LittleEndian

// putOptional ignores the value of an absent field, which callers may have left
// at anything.
func putOptional(p []byte, set bool, value []byte) {
	if !set {
		clear(p)
		return
	}
	p[0] = 1
	copy(p[1:], value)
}
