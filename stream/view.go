package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Run calls handler for every change, one after another, and stores cursors
// behind it: at least once. Cursors are stored when 512 changes have been
// handled, a second after the first of them, also while a handler works, or when
// nothing more is waiting.
//
// Run returns when ctx ends, with ctx's cause; when the subscription ends, with
// the terminal cause; or when handler fails, with its error, which also ends
// the subscription. No handler begins afterwards. Changes handled before are stored in each
// case, within 5 s; if they cannot be, the store's error is joined.
// A handler's panic passes through Run and leaves the subscription as it is: Run
// may be called again, and begins with the change that was not handled.
func (s *Subscription) Run(ctx context.Context, handler func(ctx context.Context, c Change) error) error {
	if s.member == nil && s.owner != (checkpoint.Owner{}) {
		ctx = checkpoint.ContextWithOwner(ctx, s.owner)
	}
	contexts := handlerContexts{s: s, ctx: ctx}
	defer contexts.end()
	for c, err := range s.All(ctx) {
		if err != nil {
			return err
		}
		handling, owned := contexts.of(&c)
		if !owned {
			continue // its Lost follows
		}
		if err := handler(handling, c); err != nil {
			// Returning ends the loop as a break does: what was handled before is
			// stored first, this change is not.
			failed := c // a change that is handled stays off the heap
			err = fmt.Errorf("stream: handling %v: %w", &failed, err)
			defer s.Fail(err)
			return err
		}
	}
	return s.Err()
}

// All yields every change. A change counts as handled when the loop body has
// returned for it, so a body that breaks gets that change again when the
// subscription is resumed; a panic leaves everything as a break does. Cursors are
// stored as by Run. The sequence ends with one error, ctx's cause or the terminal
// one; after a break it just ends and may be ranged over again.
func (s *Subscription) All(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		v := s.newView(ctx)
		defer v.end()
		for {
			err := v.stopped()
			if err == nil && v.tally.waits() && v.s.box.empty() {
				err = v.tally.store()
			}
			if err == nil {
				err = v.take()
			}
			for err == nil && v.next() {
				if err = v.stopped(); err != nil {
					break
				}
				if !yield(v.rest[0], nil) {
					return
				}
				if v.handled() {
					err = v.tally.store()
				}
			}
			if err != nil {
				yield(Change{}, v.final(err))
				return
			}
		}
	}
}

// view is a loop over all changes. Its goroutine owns it.
type view struct {
	s       *Subscription
	asked   context.Context // the caller's
	ctx     context.Context // of waits and saves
	release context.CancelFunc
	work    *Handling
	tally   tally
	// rest is what was taken and not handled, the first of it being handled;
	// removals is how often something had left the scope when it was looked through.
	rest     []Change
	removals uint64
}

func (s *Subscription) newView(ctx context.Context) *view {
	v := &view{s: s, asked: ctx}
	v.ctx, v.release = s.committing(ctx)
	v.tally = tally{s: s, ctx: v.ctx, storing: make(chan struct{}, 1)}
	v.work = s.handlers.Begin(func() { _ = v.tally.last() })
	return v
}

// end stores what was handled and puts back what was not; the call runs in each
// case, also when the body panics or ends its goroutine.
func (v *view) end() {
	defer v.work.End()
	defer v.release()
	_ = v.tally.last()
	if len(v.rest) > 0 {
		v.s.box.unget(v.rest)
	}
}

// stopped is why nothing more is to be handled, nil if all goes on.
func (v *view) stopped() error {
	if v.s.failed.Load() {
		return v.s.Err()
	}
	if v.asked.Err() != nil {
		return context.Cause(v.asked)
	}
	return nil
}

// final stores what is left and returns the error that the loop ends with.
func (v *view) final(cause error) error {
	if err := v.s.Err(); err != nil {
		cause = err
	} else if v.asked.Err() != nil {
		cause = context.Cause(v.asked)
	}
	err := v.tally.last()
	if err == nil || errors.Is(err, checkpoint.ErrClosed) || permanent(cause) {
		return cause
	}
	return fmt.Errorf("%w (%w)", cause, err)
}

// take takes the next slice.
func (v *view) take() (err error) {
	v.removals = v.s.box.removals.Load()
	v.rest, err = v.s.next(v.ctx, true)
	return err
}

// next reports whether something of the slice is left to be handled.
func (v *view) next() bool {
	if now := v.s.box.removals.Load(); now != v.removals && len(v.rest) > 0 {
		v.rest, v.removals = v.s.box.still(v.rest), now
	}
	return len(v.rest) > 0
}

// handled notes that the first of the rest is handled, and reports whether enough is
// to be stored.
func (v *view) handled() (full bool) {
	full = v.tally.add(&v.rest[0])
	v.rest = v.rest[1:]
	return full
}
