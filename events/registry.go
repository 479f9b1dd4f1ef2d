package events

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Unknown is what an event decodes to whose type is not declared. Its payload is in
// the event.
type Unknown struct{ Type Type }

// Encrypted is what an event with an IV decodes to: its payload is ciphertext.
type Encrypted struct {
	Type Type
	IV   msg.IV
}

// Registry knows the Go types of event types. A Registry is immutable and safe
// for concurrent use.
type Registry struct {
	forms   map[Type]*form
	any     map[uint64]*form // of major types, for minors that are not declared
	current map[reflect.Type]*form
}

// form is a declaration with the form its values are lifted to.
type form struct {
	Declaration
	next *form // nil for the newest
}

// NewRegistry makes a registry of declarations, in any order. NewRegistry fails with
// a *[RegistryError] when they contradict each other: a type that is declared twice,
// a Go type that stands for two event types, an upcaster whose result is not what
// the next form is declared with.
func NewRegistry(declarations ...Declaration) (*Registry, error) {
	r := &Registry{forms: make(map[Type]*form), any: make(map[uint64]*form), current: make(map[reflect.Type]*form)}
	ordered := slices.Clone(declarations)
	slices.SortStableFunc(ordered, func(a, b Declaration) int { // newest first
		return cmp.Or(cmp.Compare(a.of.Major, b.of.Major), cmp.Compare(b.of.Minor, a.of.Minor))
	})
	var newer *form
	for _, d := range ordered {
		if newer != nil && newer.of.Major != d.of.Major {
			newer = nil
		}
		f := &form{Declaration: d}
		if why := r.add(f, newer); why != "" {
			return nil, &RegistryError{Type: d.of, Why: why}
		}
		newer = f
	}
	return r, nil
}

// MustRegistry is NewRegistry for package variables; it panics on a contradiction,
// which is a mistake in the program's text.
func MustRegistry(declarations ...Declaration) *Registry {
	r, err := NewRegistry(declarations...)
	if err != nil {
		panic(err)
	}
	return r
}

// add takes in a form whose next newer one, if any, is there, and returns what
// contradicts it.
func (r *Registry) add(f, newer *form) (why string) {
	if why := f.check(); why != "" {
		return why
	}
	if r.forms[f.of] != nil {
		return "is declared twice"
	}
	r.forms[f.of] = f
	if f.anyMinor {
		if other := r.any[f.of.Major]; other != nil {
			return fmt.Sprintf("any minor is also declared by %v", other.of)
		}
		r.any[f.of.Major] = f
	}
	if f.lift == nil {
		if other := r.current[f.goType]; other != nil {
			return fmt.Sprintf("%v stands for type %v, too", f.goType, other.of)
		}
		r.current[f.goType] = f
		return ""
	}
	switch {
	case newer == nil:
		return "is upcast, but no higher minor is declared"
	case f.lifted != newer.goType:
		return fmt.Sprintf("is upcast to %v, but %v is declared with %v", f.lifted, newer.of, newer.goType)
	}
	f.next = newer
	return ""
}

// New makes an event of a value: its type, a fresh id ([msg.NewID]), the time in
// milliseconds since 1970, and its payload. The functions of set run on the event
// last, see [ID] and [At]. Client sequences are for the writer to fill in.
//
// New fails with an *[UndeclaredError] or an *[EncodeError].
func (r *Registry) New(value any, set ...func(*msg.Event)) (msg.Event, error) {
	goType := reflect.TypeOf(value)
	f := r.current[goType]
	if f == nil {
		return msg.Event{}, &UndeclaredError{GoType: goType}
	}
	payload, err := f.marshal(value)
	if err != nil {
		return msg.Event{}, &EncodeError{Type: f.of, GoType: goType, Err: err}
	}
	event := msg.Event{
		EventID:   msg.Some(msg.NewID()),
		Timestamp: uint64(time.Now().UnixMilli()),
		Major:     f.of.Major,
		Minor:     f.of.Minor,
		Value:     payload,
	}
	for _, change := range set {
		change(&event)
	}
	return event, nil
}

// Batch makes events of values, in order: all or none.
func (r *Registry) Batch(values ...any) ([]msg.Event, error) {
	all := make([]msg.Event, 0, len(values))
	for _, value := range values {
		event, err := r.New(value)
		if err != nil {
			return nil, err
		}
		all = append(all, event)
	}
	return all, nil
}

// ID makes New use an id that is known already, such as the one of the command that
// the event belongs to.
func ID(id msg.ID) func(*msg.Event) {
	return func(e *msg.Event) { e.EventID = msg.Some(id) }
}

// At makes New use the time at which something has happened.
func At(t time.Time) func(*msg.Event) {
	return func(e *msg.Event) { e.Timestamp = uint64(t.UnixMilli()) }
}

// Decode returns the value of an event, of the newest form of its type: always a T
// as it was declared, never a *T. The value is [Unknown] for a type that is not
// declared and [Encrypted] for an event with an IV. The event is not changed; the
// value does not refer to its memory unless the codec's values do, which those of
// JSON do not.
//
// Decode fails with a *[DecodeError] or an *[UpcastError].
func (r *Registry) Decode(e *msg.Event) (any, error) {
	of := Type{e.Major, e.Minor}
	if iv, ok := e.IV.Get(); ok {
		return Encrypted{Type: of, IV: iv}, nil
	}
	f := r.forms[of]
	if f == nil {
		f = r.any[of.Major]
	}
	if f == nil {
		return Unknown{Type: of}, nil
	}
	value, err := f.unmarshal(e.Value)
	if err != nil {
		return nil, &DecodeError{Type: of, GoType: f.goType, Err: err}
	}
	for ; f.next != nil; f = f.next {
		if value, err = f.lift(value); err != nil {
			return nil, &UpcastError{Type: of, From: f.of, To: f.next.of, Err: err}
		}
	}
	return value, nil
}
