package checkpoint

import (
	"encoding/binary"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/zeebo/xxh3"
)

// Anchor fingerprints the batch a cursor stands at. Two anchors are equal when
// they were taken from the same batch, whichever node served it; batches of
// different content have equal anchors with a probability near 2⁻⁶⁴ even when
// time, position and writer agree. It is no defence against a writer who
// searches for collisions.
type Anchor struct {
	ServerTimestamp uint64
	// EventSeq is the position of the batch's last event.
	EventSeq uint64
	ClientID msg.ID
	// Hash covers version, user and every field and payload of every event.
	// It is the same in every release.
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
	size := fieldsSize
	for i := range b.Events {
		size += fieldsSize + len(b.Events[i].Value)
	}
	var gathered [2 << 10]byte
	if size <= len(gathered) {
		// At once is several times faster than piece by piece.
		p := batchFields(gathered[:0], b)
		for i := range b.Events {
			p = append(eventFields(p, &b.Events[i]), b.Events[i].Value...)
		}
		return xxh3.Hash(p)
	}
	var h xxh3.Hasher
	_, _ = h.Write(batchFields(gathered[:0], b))
	for i := range b.Events {
		_, _ = h.Write(eventFields(gathered[:0], &b.Events[i]))
		_, _ = h.Write(b.Events[i].Value)
	}
	return h.Sum64()
}

// fieldsSize is more than what batchFields and eventFields append.
const fieldsSize = 112

func batchFields(p []byte, b *msg.Batch) []byte {
	p = le(p, b.Version)
	p = optional(p, b.UserID.Set, b.UserID.Value[:])
	return le(p, uint64(len(b.Events)))
}

func eventFields(p []byte, e *msg.Event) []byte {
	p = le(p, e.ClientSeq)
	p = le(p, e.EventSeq)
	p = optional(p, e.EventID.Set, e.EventID.Value[:])
	p = le(p, e.Timestamp)
	p = le(p, e.Major)
	p = le(p, e.Minor)
	p = optional(p, e.IV.Set, e.IV.Value[:])
	return le(p, uint64(len(e.Value)))
}

func le(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// optional ignores the value of an absent field, which callers may have left
// at anything.
func optional(b []byte, set bool, value []byte) []byte {
	if set {
		return append(append(b, 1), value...)
	}
	var absent [1 + len(msg.ID{})]byte // no optional value is longer
	return append(b, absent[:1+len(value)]...)
}
