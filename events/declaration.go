package events

import (
	"fmt"
	"reflect"
)

// Type is the type of an event: Major says what happened, from 1, and Minor in what
// form it was written.
type Type struct{ Major, Minor uint64 }

// String returns "major.minor".
func (t Type) String() string { return fmt.Sprintf("%d.%d", t.Major, t.Minor) }

// Declaration tells a Registry about one event type. A Declaration is
// immutable.
type Declaration struct {
	of        Type
	goType    reflect.Type
	anyMinor  bool
	marshal   func(value any) ([]byte, error) // nil: old forms are not written
	unmarshal func(payload []byte) (any, error)
	lift      func(value any) (any, error) // nil: the newest form
	lifted    reflect.Type                 // what lift returns
	missing   string                       // the argument that is nil, if any
}

// JSON declares that values of T are events of the type, with payloads in JSON as
// encoding/json has them. T must be no pointer and no interface.
func JSON[T any](major, minor uint64) Declaration {
	return WithCodec(major, minor, jsonCodec[T]{})
}

// WithCodec is JSON with another codec.
func WithCodec[T any](major, minor uint64, codec Codec[T]) Declaration {
	d := decoding(major, minor, codec)
	d.marshal = func(value any) ([]byte, error) { return codec.Marshal(value.(T)) }
	return d
}

// Upcast declares an old form of events of the major type, in JSON: payloads of the
// minor type are read as From, and lifted to the next higher minor type that is
// declared, which must be one of To. step must be safe for concurrent use; its
// error becomes an *[UpcastError].
func Upcast[From, To any](major, minor uint64, step func(From) (To, error)) Declaration {
	return UpcastWithCodec(major, minor, jsonCodec[From]{}, step)
}

// UpcastWithCodec is Upcast with another codec for the old form, of which only
// Unmarshal is used.
func UpcastWithCodec[From, To any](major, minor uint64, codec Codec[From], step func(From) (To, error)) Declaration {
	d := decoding(major, minor, codec)
	if step == nil {
		d.missing = "the upcaster"
	}
	d.lift = func(value any) (any, error) { return step(value.(From)) }
	d.lifted = reflect.TypeFor[To]()
	return d
}

func decoding[T any](major, minor uint64, codec Codec[T]) Declaration {
	missing := ""
	if codec == nil {
		missing = "the codec"
	}
	return Declaration{
		missing:   missing,
		of:        Type{major, minor},
		goType:    reflect.TypeFor[T](),
		unmarshal: func(payload []byte) (any, error) { return codec.Unmarshal(payload) },
	}
}

// AnyMinor makes a declaration hold for every minor type of its major that is not
// declared itself, as is right while minors only add members that a reader may
// ignore. New values get the minor of the declaration.
func (d Declaration) AnyMinor() Declaration {
	d.anyMinor = true
	return d
}

// check returns what is wrong with a declaration by itself.
func (d *Declaration) check() string {
	switch {
	case d.of.Major == 0:
		return "event type 0 does not exist"
	case d.missing != "":
		return d.missing + " is nil"
	case d.goType.Kind() == reflect.Pointer || d.goType.Kind() == reflect.Interface:
		return fmt.Sprintf("%v is a pointer or an interface: declare the type of the value", d.goType)
	}
	return ""
}
