package operators

import (
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Event is one event of a batch with its position and its decoded value.
type Event struct {
	Key msg.Key
	// Version is that of the event's batch.
	Version uint64
	// Event is the event as it was read: types, sequences, timestamp, payload.
	Event msg.Event
	// Value is what the registry made of the payload: a T as it was declared, or
	// events.Unknown or events.Encrypted where there is nothing to decode with.
	Value any
}

// DecodeChange returns the events of a batch, all of them and in order; nothing for
// changes of other kinds. Events of unknown types and encrypted ones are there,
// with the values events.Unknown and events.Encrypted. DecodeChange fails with a
// [*DecodeError] at the first payload that cannot be decoded or lifted.
func DecodeChange(r *events.Registry, c stream.Change) ([]Event, error) {
	if c.Kind != stream.Batch {
		return nil, nil
	}
	decoded := make([]Event, len(c.Batch.Events))
	for i := range decoded {
		raw := c.Batch.Events[i]
		value, err := r.Decode(&raw)
		if err != nil {
			return nil, &DecodeError{
				Key: c.Key, Version: c.Batch.Version, EventSeq: raw.EventSeq,
				Major: raw.Major, Minor: raw.Minor, Err: err,
			}
		}
		decoded[i] = Event{Key: c.Key, Version: c.Batch.Version, Event: raw, Value: value}
	}
	return decoded, nil
}

// Decode makes a Flow of decoded events. Changes that are no batches have no
// items; their positions are kept. Consumers that must see Deleted and Reset
// pull changes and call [DecodeChange] themselves.
func Decode(from Flow[stream.Change], r *events.Registry) Flow[Event] {
	return Expand(from, func(c stream.Change) ([]Event, error) { return DecodeChange(r, c) })
}
