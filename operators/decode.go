package operators

import (
	"encoding/json"
	"fmt"

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
	// Value is what the codec of the event's type made of the payload: a *T for
	// JSON[T], a T for Codec[T]; Unknown or Encrypted where there is nothing to
	// decode with.
	Value any
}

// Unknown is the value of an event whose type no codec was given for. The
// payload is in Event.Event.Value.
type Unknown struct{}

// Encrypted is the value of an event with an IV. It is not decoded, since its
// payload is ciphertext.
type Encrypted struct{ IV msg.IV }

// Type tells a Decoder how to decode one event type.
type Type struct {
	major  uint64
	minor  msg.Opt[uint64]
	decode func([]byte) (any, error)
}

// JSON decodes events of the major type, of every minor version, into a new
// *T. Fields that T does not have are ignored, as encoding/json does.
func JSON[T any](major uint64) Type {
	return Codec(major, func(payload []byte) (*T, error) {
		value := new(T)
		if err := json.Unmarshal(payload, value); err != nil {
			return nil, err
		}
		return value, nil
	})
}

// Codec decodes events of the major type, of every minor version, by a
// function. It must not keep or change the payload, and must be safe for
// concurrent use if the Decoder is used concurrently.
func Codec[T any](major uint64, decode func(payload []byte) (T, error)) Type {
	return Type{major: major, decode: func(payload []byte) (any, error) {
		value, err := decode(payload)
		if err != nil {
			return nil, err
		}
		return value, nil
	}}
}

// Minor narrows t to one minor version. It goes before the Type that was given
// for all of them.
func (t Type) Minor(minor uint64) Type {
	t.minor = msg.Some(minor)
	return t
}

// Decoder decodes events by their type. It is immutable and safe for
// concurrent use.
type Decoder struct {
	exact map[version]Type
	major map[uint64]Type
}

type version struct{ major, minor uint64 }

// NewDecoder makes a Decoder of types. It panics when a major type is 0, which
// no event can have, or when a type is given twice: both are mistakes in the
// program's text.
func NewDecoder(types ...Type) *Decoder {
	d := &Decoder{exact: make(map[version]Type), major: make(map[uint64]Type)}
	for _, t := range types {
		if t.major == 0 {
			panic("operators: event type 0 does not exist")
		}
		minor, narrowed := t.minor.Get()
		_, again := d.major[t.major]
		if narrowed {
			_, again = d.exact[version{t.major, minor}]
		}
		switch {
		case again && narrowed:
			panic(fmt.Sprintf("operators: event type %d.%d has two codecs", t.major, minor))
		case again:
			panic(fmt.Sprintf("operators: event type %d has two codecs", t.major))
		case narrowed:
			d.exact[version{t.major, minor}] = t
		default:
			d.major[t.major] = t
		}
	}
	return d
}

// Decode returns the events of a batch, all of them and in order; nothing for
// changes of other kinds. Events of unknown types and encrypted ones are there,
// with the values Unknown and Encrypted. It fails with a [*DecodeError] at the
// first payload its codec refuses.
func (d *Decoder) Decode(c stream.Change) ([]Event, error) {
	if c.Kind != stream.Batch {
		return nil, nil
	}
	events := make([]Event, len(c.Batch.Events))
	for i := range events {
		raw := c.Batch.Events[i]
		value, err := d.value(&raw)
		if err != nil {
			return nil, &DecodeError{
				Key: c.Key, Version: c.Batch.Version, EventSeq: raw.EventSeq,
				Major: raw.Major, Minor: raw.Minor, Err: err,
			}
		}
		events[i] = Event{Key: c.Key, Version: c.Batch.Version, Event: raw, Value: value}
	}
	return events, nil
}

func (d *Decoder) value(e *msg.Event) (any, error) {
	if iv, ok := e.IV.Get(); ok {
		return Encrypted{IV: iv}, nil
	}
	t, ok := d.exact[version{e.Major, e.Minor}]
	if !ok {
		t, ok = d.major[e.Major]
	}
	if !ok {
		return Unknown{}, nil
	}
	return t.decode(e.Value)
}

// Decode makes a Flow of decoded events. Changes that are no batches have no
// items; their positions are kept. Consumers that must see Deleted and Reset
// pull changes and call [Decoder.Decode] themselves.
func Decode(from Flow[stream.Change], d *Decoder) Flow[Event] { return Expand(from, d.Decode) }
