package operators

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// DecodeError is an event that the registry could not decode: an
// *events.DecodeError or an *events.UpcastError with the place of the event.
type DecodeError struct {
	Key          msg.Key
	Version      uint64
	EventSeq     uint64
	Major, Minor uint64
	Err          error
}

// Error names key, version, event and type.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("operators: decoding event %d (type %d.%d) of batch %d of %v: %v",
		e.EventSeq, e.Major, e.Minor, e.Version, e.Key, e.Err)
}

// FailedChange names the batch, see [At].
func (e *DecodeError) FailedChange() (msg.Key, uint64) { return e.Key, e.Version }

// Unwrap returns what the registry said.
func (e *DecodeError) Unwrap() error { return e.Err }

// HandlerError is the failure of a handler. The changes it was given are not stored
// as handled; those before are.
type HandlerError struct {
	Kind stream.Kind
	// Key is the aggregate, zero for CaughtUp.
	Key msg.Key
	// Version is the batch's; where the kind has none, that of the cursor.
	Version uint64
	// More counts the changes given to the handler beside this first one.
	More int
	Err  error
}

func handlerError(c *stream.Change, err error) *HandlerError {
	return &HandlerError{Kind: c.Kind, Key: c.Key, Version: versionOf(c), Err: err}
}

// versionOf returns the version that names a change.
func versionOf(c *stream.Change) uint64 {
	switch c.Kind {
	case stream.Batch:
		return c.Batch.Version
	case stream.Unreadable:
		return c.Version
	}
	return c.Cursor.Version
}

// Error names the change, the number of others and the cause.
func (e *HandlerError) Error() string {
	what := e.Kind.String()
	if e.Kind != stream.CaughtUp {
		what = fmt.Sprintf("%v %d of %v", e.Kind, e.Version, e.Key)
	}
	if e.More > 0 {
		what += fmt.Sprintf(" and %d more", e.More)
	}
	return fmt.Sprintf("operators: handling %s: %v", what, e.Err)
}

// Unwrap returns what the handler said.
func (e *HandlerError) Unwrap() error { return e.Err }

// FullError says, among what is being retried in the health of the subscription, that
// nothing further is read because the largest number of aggregates that may wait for
// another attempt does.
type FullError struct{ Waiting int }

// Error names the number of aggregates.
func (e *FullError) Error() string {
	return fmt.Sprintf("operators: %d aggregates wait for another attempt: nothing further is read until some were handled", e.Waiting)
}

// PanicError is a panic of a handler, made an error so that the one failing
// consumer ends instead of the process, with everything before it stored.
type PanicError struct {
	Value any
	// Stack is the goroutine's at the panic.
	Stack []byte
}

// Error returns the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// StoreError refuses a projection whose checkpoint store cannot save inside a
// transaction.
type StoreError struct {
	// Name is the subscription's, empty where the projection was refused before
	// one was opened.
	Name string
	// Store is the store's type.
	Store string
}

// Error names the subscription and the type of its store.
func (e *StoreError) Error() string {
	what := "the source"
	if e.Name != "" {
		what = fmt.Sprintf("%q", e.Name)
	}
	return fmt.Sprintf("operators: projecting %s needs a checkpoint store that saves inside a database transaction "+
		"(a TxStore, such as checkpoint/sqlstore); it has a %s", what, e.Store)
}
