package operators

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// ForEach subscribes, calls handler for every change, one after another, and
// stores the cursors behind it: at least once. Cursors are stored when what was
// waiting together (at most 512 changes, see [WithLimits]) has been handled, or
// one second after the last time, whichever is first. After a crash at most
// what was handled since comes again, in order.
//
// It ends, always with an error and with its subscription closed:
//   - when ctx ends, with ctx's cause. No further change is begun; the handler
//     in flight finishes, for which its context outlives ctx by the stop
//     timeout; what was handled is stored with a fresh context.
//   - when handler fails or panics, with a [*HandlerError] that names the
//     change; a panic is a [*PanicError] inside. What was handled before is
//     stored, this change is not.
//   - when the subscription ends, with its terminal cause, for instance
//     [checkpoint.ErrFenced]. A checkpoint store that fails for a while is
//     retried instead.
//
// If the last cursors could not be stored, that error is joined.
func ForEach(ctx context.Context, src Source, handler func(ctx context.Context, c stream.Change) error, opts ...ForEachOption) (err error) {
	s := defaults()
	for _, o := range opts {
		o.forEach(&s)
	}
	sub, err := src.Open(ctx)
	if err != nil {
		return err
	}
	work, release := grace(ctx, s.stop)
	defer release()
	l := &loop{settings: s, sub: sub, handler: handler, stored: time.Now()}
	var cause error
	// Also when the handler leaves by runtime.Goexit, as t.Fatal does.
	defer func() { err = finish(ctx, sub, cause, s.stop) }()
	cause = l.run(ctx, work)
	cause = l.last(ctx, cause)
	return cause
}

// loop is a ForEach at work.
type loop struct {
	settings
	sub     stream.Consumer
	handler func(context.Context, stream.Change) error
	pending []Mark // handled, not stored
	stored  time.Time
	tally   tally
}

func (l *loop) run(ctx, work context.Context) error {
	flow := Batch(Changes(l.sub), l.limits)
	for {
		slice, err := flow.Next(ctx)
		if err != nil {
			return err
		}
		for i := range slice.Items {
			if err := l.handle(ctx, work, slice.Items[i:i+1], slice.Marks[i]); err != nil {
				return err
			}
		}
		if err := l.commit(ctx); err != nil {
			return err
		}
	}
}

func (l *loop) handle(ctx, work context.Context, change []stream.Change, mark Mark) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := guarded(func() error { return l.handler(work, change[0]) }); err != nil {
		return handlerError(change, err)
	}
	l.pending = append(l.pending, mark)
	l.tally.add(change)
	if time.Since(l.stored) >= l.interval {
		return l.commit(ctx)
	}
	return nil
}

// commit stores what was handled. It tries until ctx ends.
func (l *loop) commit(ctx context.Context) error {
	if len(l.pending) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := l.sub.Commit(ctx, entries(l.pending)); err != nil {
		if ctx.Err() != nil && l.sub.Err() == nil {
			return context.Cause(ctx) // a stop, after which last tries once more
		}
		return err
	}
	l.pending, l.stored = l.pending[:0], time.Now()
	l.tally.report(l.sub, l.onProgress)
	return nil
}

// last stores what is left with a context of its own.
func (l *loop) last(ctx context.Context, cause error) error {
	if len(l.pending) == 0 || errors.Is(cause, checkpoint.ErrFenced) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.stop)
	defer cancel()
	if err := l.sub.Commit(ctx, entries(l.pending)); err != nil {
		return errors.Join(cause, err)
	}
	l.tally.report(l.sub, l.onProgress)
	return cause
}
