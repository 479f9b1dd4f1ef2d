package celeriant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// feeder is a producer at work, on one goroutine; but a timer stores positions while
// a handler or a stage works.
type feeder struct {
	*pipeline
	ctx     context.Context
	next    chan<- rxgo.Item
	sub     *stream.Subscription
	handled *count // nil when nobody counts
	work    *stream.Handling

	// storing has room for the one that stores, and guards the rest: gaveUp says that the
	// time that there is after the end was not enough, when so many items were handled.
	storing  chan struct{}
	gaveUp   bool
	gaveUpAt uint64

	mu    sync.Mutex
	trail trail
	timer *time.Timer
	armed bool
	over  bool
}

func newFeeder(ctx context.Context, next chan<- rxgo.Item, p *pipeline, handled *count) *feeder {
	return &feeder{pipeline: p, ctx: ctx, next: next, handled: handled, storing: make(chan struct{}, 1)}
}

// observe runs the producer and returns when OnEnd has.
func (f *feeder) observe() {
	// Client.Close waits for the observer; inside one of its stages, or OnEnd, it only
	// has stored what was handled before.
	f.work = f.source.client.observers.Begin(func() { f.finish(context.WithoutCancel(f.ctx)) })
	defer f.work.End()
	if f.handled != nil {
		f.handled.begin(f.work)
	}
	cause := f.feed()
	if end := f.source.opts.onEnd; end != nil {
		defer f.recovered("OnEnd")
		end(cause)
	}
}

// recovered makes a line in the log of a panic.
func (f *feeder) recovered(callback string) {
	if value := recover(); value != nil {
		f.logger().Error(callback+" panicked", "panic", value, "stack", string(debug.Stack()))
	}
}

func (f *feeder) logger() *slog.Logger {
	if l := f.source.opts.stream.Logger; l != nil {
		return l
	}
	if l := f.source.client.logger; l != nil {
		return l
	}
	return slog.New(slog.DiscardHandler)
}

// feed runs a subscription until it ends and returns why it did.
func (f *feeder) feed() error {
	sub, err := f.source.Subscribe(f.ctx)
	if err == nil {
		f.sub = sub
		// Also if a stage ends the goroutine.
		defer closeIn(f.ctx, sub)
		defer f.last()
		err = f.run()
	}
	if errors.Is(err, stream.ErrClosed) || errors.Is(err, ErrClosed) || errors.Is(err, errExited) {
		return err // the end of the client is none of the items', and nobody takes any more
	}
	f.send(rxgo.Error(err))
	return err
}

func (f *feeder) run() error {
	flow := operators.Batch(operators.Changes(f.sub), operators.Limits{})
	for {
		slice, err := flow.Next(f.ctx)
		if err != nil {
			return err
		}
		marks := slice.Marks
		f.cut(slice.Items, func(value any, stands int) bool {
			err = f.pass(value, marks[:stands])
			marks = marks[stands:]
			return err == nil
		})
		if err == nil {
			err = f.settle()
		}
		if err != nil {
			return err
		}
	}
}

// pass takes one item through the stages to the observer.
func (f *feeder) pass(value any, marks []operators.Mark) error {
	value, keep, err := f.staged(value)
	switch {
	case err != nil:
		return err
	case !keep:
		f.note(func(t *trail) { t.skip(marks) })
		return nil
	case !f.send(rxgo.Of(value)):
		return f.stopped()
	}
	f.note(func(t *trail) { t.sent(marks) })
	return nil
}

// staged takes an item through the stages; a panic in one is its error.
func (f *feeder) staged(value any) (result any, keep bool, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = &stream.PanicError{Value: panicked, Stack: debug.Stack()}
		}
	}()
	for _, s := range f.stages {
		if f.stops() {
			return nil, false, f.stopped()
		}
		if value, keep, err = s(f.ctx, value); err != nil || !keep {
			return nil, false, err
		}
	}
	return value, true, nil
}

// send hands an item over; false when the observer or the client has ended.
func (f *feeder) send(item rxgo.Item) bool {
	var broken <-chan struct{}
	if f.handled != nil && !item.Error() {
		broken = f.handled.broken
	}
	if f.left() {
		return false
	}
	select {
	case f.next <- item:
		return true
	case <-broken:
	case <-f.ctx.Done():
	case <-f.source.client.closed.Done():
	}
	return false
}

// left reports whether the observer or the client has ended.
func (f *feeder) left() bool { return f.ctx.Err() != nil || f.source.client.closed.Err() != nil }

// stops reports whether nothing more is to be handled, because of that or because the
// subscription has ended, by a fence for instance.
func (f *feeder) stops() bool { return f.left() || f.sub != nil && f.sub.Err() != nil }

func (f *feeder) stopped() error {
	if f.handled != nil {
		if err := f.handled.failure(); err != nil {
			return fmt.Errorf("celeriant: handling an item: %w", err)
		}
	}
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	if f.sub != nil {
		if err := f.sub.Err(); err != nil {
			return err
		}
	}
	return stream.ErrClosed
}

// note changes the trail and sees to it that what waits is stored within the interval.
func (f *feeder) note(change func(t *trail)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.trail)
	f.arm()
}

// arm sets the timer. The caller holds mu.
func (f *feeder) arm() {
	switch {
	case f.armed || f.over || !f.trail.waits():
		return
	case f.timer == nil:
		f.timer = time.AfterFunc(storeInterval, f.tick)
	default:
		f.timer.Reset(storeInterval)
	}
	f.armed = true
}

// tick stores what is handled while handlers and stages work. A refusal for good ends
// the subscription, which the producer notices.
func (f *feeder) tick() {
	defer func() {
		f.recovered("the checkpoint store")
		f.mu.Lock()
		defer f.mu.Unlock()
		f.armed = false
		f.arm()
	}()
	_ = f.store(f.ctx)
}

// handledItems is how many of the items sent are known to be handled. When
// nobody counts, an item counts as handled when as many more were taken as the
// channel has room for, and one. The caller holds mu.
func (f *feeder) handledItems() uint64 {
	if f.handled != nil {
		return f.handled.n.Load()
	}
	held := uint64(cap(f.next)) + 1
	return f.trail.items - min(f.trail.items, held)
}

// settle ends a slice: it waits until its items are handled, if anybody tells,
// and stores.
func (f *feeder) settle() error {
	if f.handled != nil && !f.handled.wait(f.ctx, f.sub.Ended(), f.trail.items) {
		return f.stopped()
	}
	return f.store(f.ctx)
}

// store stores what is handled, one at a time. Another owner stored the positions behind
// the stored one.
func (f *feeder) store(ctx context.Context) error {
	f.storing <- struct{}{} // whoever stores now ends with the subscription
	defer func() { <-f.storing }()
	f.mu.Lock()
	handled := f.handledItems()
	f.trail.release(handled)
	entries := f.trail.entries()
	f.mu.Unlock()
	if len(entries) == 0 || f.gaveUp && handled == f.gaveUpAt {
		return nil
	}
	err := f.sub.Commit(ctx, entries)
	f.gaveUp, f.gaveUpAt = errors.Is(err, stream.ErrLastCommit), handled
	var behind *checkpoint.RegressionError
	if err != nil && !errors.As(err, &behind) {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trail.stored(entries)
	return nil
}

// finish has no further handler begin and stores what is handled; it reports whether a
// handler is at work.
func (f *feeder) finish(ctx context.Context) (busy bool) {
	if f.handled != nil && f.stops() {
		busy = f.handled.stop()
	}
	if f.sub != nil {
		_ = f.store(ctx) // what is not stored comes again
	}
	return busy
}

// last stores what is handled, lets the handler in flight finish, and what is on its
// way to it unless all is to stop, and stores what is left. The ending has little
// time.
func (f *feeder) last() {
	f.mu.Lock()
	f.over = true
	if f.timer != nil {
		f.timer.Stop()
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), stopTimeout)
	defer cancel()
	busy := f.finish(ctx)
	f.work.Stored()
	if f.handled == nil {
		return
	}
	if !f.stops() {
		f.handled.wait(ctx, nil, f.trail.items)
	} else if busy {
		f.handled.rest(ctx)
	}
	_ = f.store(ctx)
}
