package msg

import (
	"bytes"
	"slices"
)

// IV is the 12-byte nonce of an encrypted event value.
type IV [12]byte

// Event is one event as it is written and read. Protocol section 6.3.
type Event struct {
	// ClientSeq is the writer's own sequence number, compared with the highest
	// one stored for (aggregate, client) when a write enforces idempotency.
	// Sequences should start at 1: a stored 0 counts as none.
	ClientSeq uint64
	// EventSeq is the event's position in its aggregate, from 1. The node
	// assigns it; what a writer sends is overwritten.
	EventSeq uint64
	// EventID is chosen by the writer and never interpreted.
	EventID Opt[ID]
	// Timestamp is chosen by the writer, by convention milliseconds since 1970.
	Timestamp uint64
	// Major and Minor are the event's type. Major must be at least 1.
	Major, Minor uint64
	// Value is the payload, which may be empty.
	Value []byte
	// IV is present when Value is encrypted; schema validation is then skipped.
	IV Opt[IV]
}

// Equal reports whether two events are equal in every field. A nil Value equals an
// empty one.
func (e *Event) Equal(other *Event) bool {
	return e.ClientSeq == other.ClientSeq && e.EventSeq == other.EventSeq && e.EventID == other.EventID &&
		e.Timestamp == other.Timestamp && e.Major == other.Major && e.Minor == other.Minor &&
		bytes.Equal(e.Value, other.Value) && e.IV == other.IV
}

// Batch is one committed write to one aggregate; it is atomic and never split.
// Protocol section 6.4.
type Batch struct {
	// Version is the aggregate version the batch made, from 1. The version
	// grows with each batch but may jump after a fresh recreation.
	Version uint64
	// ClientID is the writer's identity.
	ClientID ID
	// UserID is copied from the request.
	UserID Opt[ID]
	// ServerTimestamp is the node's clock in the cluster's precision, by
	// default milliseconds since 1970. The timestamp is not monotonic.
	ServerTimestamp uint64
	// Events holds at least one event; fewer than were written when the read
	// had event-level filters.
	Events []Event
}

// Clone returns a deep copy of the batch that shares no memory with it. All
// payloads of the copy share one buffer.
func (b Batch) Clone() Batch {
	size := 0
	for i := range b.Events {
		size += len(b.Events[i].Value)
	}
	payloads := make([]byte, 0, size)
	b.Events = slices.Clone(b.Events)
	for i := range b.Events {
		start := len(payloads)
		payloads = append(payloads, b.Events[i].Value...)
		b.Events[i].Value = payloads[start:len(payloads):len(payloads)]
	}
	return b
}

// Equal reports whether two batches are equal in every field, those of their events
// included.
func (b Batch) Equal(other Batch) bool {
	if b.Version != other.Version || b.ClientID != other.ClientID || b.UserID != other.UserID ||
		b.ServerTimestamp != other.ServerTimestamp || len(b.Events) != len(other.Events) {
		return false
	}
	for i := range b.Events {
		if !b.Events[i].Equal(&other.Events[i]) {
			return false
		}
	}
	return true
}

// LastEventSeq returns the position of the batch's last event, 0 when the
// batch holds none.
func (b Batch) LastEventSeq() uint64 {
	if len(b.Events) == 0 {
		return 0
	}
	return b.Events[len(b.Events)-1].EventSeq
}
