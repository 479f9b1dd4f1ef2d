package shard

import "github.com/celeriant/celeriant-go/msg"

// Sizes of what surrounds the payloads. The stored size is the reference's own
// rule (section 5); the sizes on the wire follow protocol sections 5 and 6.
const (
	storedBatch = 20
	storedEvent = 50
	idBytes     = 16
	ivBytes     = 12

	// replyOverhead bounds what a read response or a list adds to its items:
	// the correlation id, a count, a cursor, in either codec.
	replyOverhead = 40
	// listItemBytes bounds one aggregate of a list, in either codec.
	listItemBytes = 160
)

// measure computes the entry's sizes once, when it is made.
func (e *WriteEntry) measure() {
	stored, v2, v3 := uint64(storedBatch), batchV2(&e.Batch), batchV3(&e.Batch)
	for i := range e.Batch.Events {
		ev := &e.Batch.Events[i]
		stored += storedEvent + uint64(len(ev.Value))
		if ev.EventID.Set {
			stored += idBytes
		}
		if ev.IV.Set {
			stored += ivBytes
		}
		v2 += eventV2(ev)
		v3 += eventV3(ev)
	}
	e.stored, e.shortest, e.longest = stored, min(v2, v3), max(v2, v3)
}

func batchV2(b *msg.Batch) uint64 { return 8 + idBytes + 1 + optional(b.UserID.Set, idBytes) + 8 + 8 }

func eventV2(e *msg.Event) uint64 {
	return 8 + 8 + 1 + optional(e.EventID.Set, idBytes) + 8 + 8 + 8 + 8 + uint64(len(e.Value)) + 1 + optional(e.IV.Set, ivBytes)
}

func batchV3(b *msg.Batch) uint64 {
	return 1 + uintV3(b.Version) + 2 + idBytes + 1 + optional(b.UserID.Set, 1+idBytes) + uintV3(b.ServerTimestamp) + 5
}

func eventV3(e *msg.Event) uint64 {
	return 1 + uintV3(e.ClientSeq) + uintV3(e.EventSeq) + 1 + optional(e.EventID.Set, 1+idBytes) + uintV3(e.Timestamp) +
		uintV3(e.Major) + uintV3(e.Minor) + 5 + uint64(len(e.Value)) + 1 + optional(e.IV.Set, 1+ivBytes)
}

func optional(set bool, size uint64) uint64 {
	if set {
		return size
	}
	return 0
}

// uintV3 is the length of an unsigned integer in its shortest MessagePack form.
func uintV3(n uint64) uint64 {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	case n < 1<<32:
		return 5
	}
	return 9
}

// arena holds the payloads of one request, copied once: the buffer the
// request was decoded from is reused by its owner.
type arena struct{ bytes []byte }

func newArena(writes []*msg.AggregateWrite) *arena {
	size := 0
	for _, w := range writes {
		for i := range w.Events {
			size += len(w.Events[i].Value)
		}
	}
	return &arena{bytes: make([]byte, 0, size)}
}

func (a *arena) copyEvents(events []msg.Event) []msg.Event {
	copied := make([]msg.Event, len(events))
	for i := range events {
		copied[i] = events[i]
		start := len(a.bytes)
		a.bytes = append(a.bytes, events[i].Value...)
		copied[i].Value = a.bytes[start:len(a.bytes):len(a.bytes)]
	}
	return copied
}
