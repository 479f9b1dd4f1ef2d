package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// job is one request, and what follows from its outcome: the engine is fed, and may
// have another job done next.
type job interface {
	// ask calls code that is not ours: a source, a watch, a checkpoint store.
	ask(ctx context.Context) error
	// answered goes on with what ask returned.
	answered(err error) (next job)
}

// errExited is the outcome of a call that ended its goroutine.
var errExited = errors.New("stream: a call ended its goroutine (runtime.Goexit)")

// PanicError is a panic of code that is not the library's, such as a checkpoint
// store, on a goroutine of a subscription. The panic counts as a failure of
// that call.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("stream: panic: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// perform does a job. A call that panics or ends its goroutine has failed: what waits
// for its outcome would wait for ever. When the goroutine ends another one goes on.
func (x *executor) perform(ctx context.Context, j job) (next job) {
	asking := true
	defer func() {
		if !asking {
			return // what happens later is no fault of the call
		}
		if value := recover(); value != nil {
			next = j.answered(&PanicError{Value: value, Stack: debug.Stack()})
			return
		}
		x.spawn(func(ctx context.Context) { x.keepReading(ctx, exited{j}) })
	}()
	err := j.ask(ctx)
	asking = false
	return j.answered(err)
}

// exited is a job whose goroutine has ended.
type exited struct{ job }

func (exited) ask(context.Context) error { return errExited }

// request is a job that feeds the engine and has none to follow.
type request struct {
	call func(ctx context.Context) error
	then func(err error)
}

func (r request) ask(ctx context.Context) error { return r.call(ctx) }

func (r request) answered(err error) job {
	r.then(err)
	return nil
}

// request makes a request on a goroutine of its own.
func (x *executor) request(call func(ctx context.Context) error, then func(err error)) {
	x.spawn(func(ctx context.Context) { x.perform(ctx, request{call, then}) })
}
