package celeriant_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// Positions are stored within a second or so also while a handler, or a stage, works
// for long.
func TestObserverStoresWhileAHandlerWorks(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a", "b", "c")
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		o := observer{handle: func(v any) {
			if text(v) == "c" {
				time.Sleep(3 * time.Second)
				if w.stored(1) != 2 {
					w.t.Errorf("after 3 s of the third, version %d is stored", w.stored(1))
				}
				cancel()
			}
		}}
		<-w.orders().ForEach(o.next, o.fail, o.done, rxgo.WithContext(ctx))
		if w.stored(1) != 3 || o.failed != nil {
			w.t.Errorf("at the end version %d is stored; %v", w.stored(1), o.failed)
		}
	})
}

// The client may be closed inside a handler, a stage and OnEnd: it does not wait for
// that callback, no further handler begins, and what was handled before is stored when
// Close returns.
func TestClientCloseInsideAnObserver(t *testing.T) {
	for _, inside := range []string{"handler", "stage"} {
		bubble(t, func(w *world) {
			w.write(1, "a", "b", "c", "d")
			closed := time.Duration(-1)
			closes := func(v any) {
				if text(v) != "b" {
					return
				}
				began := time.Now()
				if err := w.client.Close(w.t.Context()); err != nil {
					w.t.Errorf("%s: %v", inside, err)
				}
				closed = time.Since(began)
				if inside == "handler" && w.stored(1) != 1 {
					w.t.Errorf("%s: version %d is stored when Close returns", inside, w.stored(1))
				}
			}
			var o observer
			rx := w.orders().Observable
			if inside == "handler" {
				o.handle = closes
			} else {
				rx = rx.Map(func(_ context.Context, v any) (any, error) { closes(v); return v, nil })
			}
			<-rx.ForEach(o.next, o.fail, o.done)
			if got := o.got(); closed < 0 || closed > time.Second || len(got) > 2 || o.failed != nil {
				w.t.Errorf("%s: handled %q, closed in %v; %v", inside, got, closed, o.failed)
			}
		})
	}
}

// A panic of a handler or a stage is the end of the observable, with an error that
// names it; what was handled before is stored.
func TestPanicsOfAnObserver(t *testing.T) {
	broken := errors.New("broken")
	for _, inside := range []string{"handler", "stage"} {
		bubble(t, func(w *world) {
			w.write(1, "a", "b", "c")
			panics := func(v any) {
				if text(v) == "b" {
					panic(broken)
				}
			}
			var o observer
			rx := w.orders().Observable
			if inside == "handler" {
				o.handle = panics
			} else {
				rx = rx.Map(func(_ context.Context, v any) (any, error) { panics(v); return v, nil })
			}
			<-rx.ForEach(o.next, o.fail, o.done)
			var panicked *stream.PanicError
			if !errors.As(o.failed, &panicked) || !errors.Is(o.failed, broken) || w.stored(1) != 1 || slices.Contains(o.got(), "1.3 c") {
				w.t.Errorf("%s: handled %q, stored %d; %v", inside, o.got(), w.stored(1), o.failed)
			}
		})
	}
}

// blocking is a store whose Acquire looks at no context.
type blocking struct {
	checkpoint.Store
	gate chan struct{}
}

func (b blocking) Acquire(ctx context.Context, c checkpoint.Claim) (checkpoint.Owner, error) {
	<-b.gate
	return b.Store.Acquire(ctx, c)
}

// Closing the client does not wait for a checkpoint store that an observer waits for.
func TestClientCloseDuringAcquire(t *testing.T) {
	bubble(t, func(w *world) {
		store := blocking{Store: w.store, gate: make(chan struct{})}
		var o observer
		var cause error
		ended := w.orders(celeriant.WithCheckpoints(store), celeriant.WithOnEnd(func(err error) { cause = err })).ForEach(o.next, o.fail, o.done)
		time.Sleep(time.Second)
		began := time.Now()
		if err := w.client.Close(w.t.Context()); err != nil || time.Since(began) > time.Second {
			w.t.Errorf("closed in %v: %v", time.Since(began), err)
		}
		<-ended
		if !errors.Is(cause, celeriant.ErrClosed) || len(o.got()) != 0 {
			w.t.Errorf("ended with %v, handled %q", cause, o.got())
		}
		close(store.gate)
	})
}
