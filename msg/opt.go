package msg

import "fmt"

// Opt is a value that may be absent. The zero Opt is absent. An Opt is
// comparable when T is, and two Opts are equal exactly when both are absent or
// both hold equal values (Some and None keep the value of an absent Opt at its
// zero).
type Opt[T any] struct {
	// Value is meaningful only when Set is true.
	Value T
	// Set tells whether the value is present.
	Set bool
}

// Some returns a present value.
func Some[T any](v T) Opt[T] { return Opt[T]{Value: v, Set: true} }

// None returns an absent value; it is the zero Opt, spelt out.
func None[T any]() Opt[T] { return Opt[T]{} }

// Get returns the value and whether it is present.
func (o Opt[T]) Get() (T, bool) { return o.Value, o.Set }

// Or returns the value if present and fallback otherwise.
func (o Opt[T]) Or(fallback T) T {
	if o.Set {
		return o.Value
	}
	return fallback
}

// String formats the value, or "none".
func (o Opt[T]) String() string {
	if !o.Set {
		return "none"
	}
	return fmt.Sprint(o.Value)
}
