package events

import (
	"fmt"
	"reflect"
)

// RegistryError refuses declarations that contradict each other.
type RegistryError struct {
	Type Type // the event type concerned
	Why  string
}

// Error names the event type and the contradiction.
func (e *RegistryError) Error() string { return fmt.Sprintf("events: type %v: %s", e.Type, e.Why) }

// UndeclaredError refuses a value whose Go type stands for no event type.
type UndeclaredError struct {
	GoType reflect.Type // nil for a nil value
}

// Error names the Go type.
func (e *UndeclaredError) Error() string {
	if e.GoType != nil && e.GoType.Kind() == reflect.Pointer {
		return fmt.Sprintf("events: %v stands for no event type: pass the value, not a pointer to it", e.GoType)
	}
	return fmt.Sprintf("events: %v stands for no event type", e.GoType)
}

// EncodeError is a value that its codec could not make a payload of.
type EncodeError struct {
	Type   Type
	GoType reflect.Type
	Err    error
}

// Error names both types and the cause.
func (e *EncodeError) Error() string {
	return fmt.Sprintf("events: encoding %v as type %v: %v", e.GoType, e.Type, e.Err)
}

// Unwrap returns the codec's error.
func (e *EncodeError) Unwrap() error { return e.Err }

// DecodeError is a payload that the codec of its type refused.
type DecodeError struct {
	Type   Type
	GoType reflect.Type // what it should have become
	Err    error
}

// Error names both types and the cause.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("events: decoding type %v to %v: %v", e.Type, e.GoType, e.Err)
}

// Unwrap returns the codec's error.
func (e *DecodeError) Unwrap() error { return e.Err }

// UpcastError is a value that an upcaster could not lift to the next form.
type UpcastError struct {
	Type     Type // of the event
	From, To Type // the step that failed
	Err      error
}

// Error names the event's type, the step and the cause.
func (e *UpcastError) Error() string {
	return fmt.Sprintf("events: decoding type %v: upcasting %v to %v: %v", e.Type, e.From, e.To, e.Err)
}

// Unwrap returns the upcaster's error.
func (e *UpcastError) Unwrap() error { return e.Err }
