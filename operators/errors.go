package operators

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// DecodeError is an event whose payload its codec refused.
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

// Unwrap returns what the codec said.
func (e *DecodeError) Unwrap() error { return e.Err }

// HandlerError is the failure of a handler. What it was given is not stored as
// handled; what came before is.
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

func handlerError(changes []stream.Change, err error) *HandlerError {
	first := &changes[0]
	e := &HandlerError{Kind: first.Kind, Key: first.Key, Version: first.Cursor.Version, More: len(changes) - 1, Err: err}
	switch first.Kind {
	case stream.Batch:
		e.Version = first.Batch.Version
	case stream.Unreadable:
		e.Version = first.Version
	}
	return e
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
