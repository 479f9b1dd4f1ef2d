package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

const (
	// commitChanges and commitInterval bound what Run and All handle before
	// they store cursors.
	commitChanges  = 512
	commitInterval = time.Second
	// lastCommit bounds the storing of cursors after the consumer stopped.
	lastCommit = 5 * time.Second
)

// Next returns the next slice of changes, never an empty one; the slice is the
// caller's. It waits until there is one or ctx ends: then it returns ctx's
// cause, and may be called again. After the end of the subscription it returns
// what was read ahead, then the terminal cause.
//
// Calling Next takes the slice returned before off the buffer. It stores
// nothing: call Commit, or Committed, when changes have been handled.
func (s *Subscription) Next(ctx context.Context) ([]Change, error) { return s.next(ctx, false) }

func (s *Subscription) next(ctx context.Context, hold bool) ([]Change, error) {
	for {
		s.consumed()
		p, err := s.box.take(ctx, hold)
		if err != nil {
			return nil, err
		}
		s.taken = p.bytes
		if len(p.changes) > 0 {
			return p.changes, nil
		}
	}
}

// consumed gives the bytes of the last slice back to the engine.
func (s *Subscription) consumed() {
	bytes := s.taken
	if bytes == 0 {
		return
	}
	s.taken = 0
	s.feed(func(e *engine.Engine, now time.Time) { e.Consumed(now, bytes) })
}

// Commit stores the cursors of handled changes, see [Entries]. A store that
// fails is tried again with backoff until ctx ends; the error is then ctx's
// cause joined with the store's. A refusal for good, such as
// [checkpoint.ErrFenced], ends the subscription with it. Saving is repeatable,
// so that an ambiguous save is simply saved again.
func (s *Subscription) Commit(ctx context.Context, entries []checkpoint.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var pace engine.Backoff
	all := entries
	for {
		err := s.opts.Store.Save(ctx, s.owner, entries)
		if err == nil {
			s.committed(all)
			return nil
		}
		if rest, ok := s.repeated(entries, err); ok {
			entries = rest
			continue
		}
		err = fmt.Errorf("stream: storing %d cursors of %q: %w", len(entries), s.opts.Name, err)
		if permanent(err) {
			s.Fail(err)
			return err
		}
		s.logger.Warn("cursors not stored, trying again", "cause", err)
		if pace == nil {
			pace = newBackoff()
		}
		wait := time.NewTimer(pace.NextBackOff())
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

// repeated returns entries without the one that would go back, if it repeats what
// is stored: a member that left and joined again goes on where it was stored at
// that time, and what was handled until then may be stored later.
func (s *Subscription) repeated(entries []checkpoint.Entry, refusal error) (rest []checkpoint.Entry, ok bool) {
	var regression *checkpoint.RegressionError
	if !s.rescoped.Load() || !errors.As(refusal, &regression) {
		return nil, false
	}
	for _, e := range entries {
		if e.Key != regression.Key {
			rest = append(rest, e)
		}
	}
	return rest, len(rest) < len(entries)
}

// Committed says that the caller stored the cursors itself, for instance with
// SaveTx inside its own transaction. entries must not be changed afterwards.
func (s *Subscription) Committed(entries []checkpoint.Entry) {
	if len(entries) > 0 {
		s.committed(entries)
	}
}

// Run calls handler for every change, one after another, and stores cursors
// behind it: at least once. Cursors are stored when 512 changes have been
// handled, a second after the first of them, or when nothing more is waiting.
//
// It returns when ctx ends, with ctx's cause; when the subscription ends, with
// the terminal cause; or when handler fails, with its error, which also ends
// the subscription. What was handled before is stored in each case, within 5 s.
// A handler's panic passes through Run and leaves the subscription as it is: Run
// may be called again, and begins with the change that was not handled.
func (s *Subscription) Run(ctx context.Context, handler func(ctx context.Context, c Change) error) error {
	for c, err := range s.All(ctx) {
		if err != nil {
			return err
		}
		if err := handler(ctx, c); err != nil {
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
		t := tally{s: s}
		var left []Change // taken, and not handled when the body did not come back
		defer func() {
			if left != nil {
				t.last(ctx)
				s.box.unget(left)
			}
		}()
		for {
			err := context.Cause(ctx)
			if err == nil {
				err = t.settle(ctx)
			}
			var changes []Change
			var leavings uint64
			if err == nil {
				leavings = s.box.leavings.Load()
				changes, err = s.next(ctx, true)
			}
			if err != nil {
				t.last(ctx)
				yield(Change{}, err)
				return
			}
			for i := 0; i < len(changes); i++ {
				if now := s.box.leavings.Load(); now != leavings {
					changes, i, leavings = s.box.still(changes[i:]), 0, now
					if len(changes) == 0 {
						break
					}
				}
				if ctx.Err() != nil {
					t.last(ctx)
					s.box.unget(changes[i:])
					yield(Change{}, context.Cause(ctx))
					return
				}
				left = changes[i:]
				if !yield(changes[i], nil) {
					return
				}
				left = nil
				t.add(changes[i : i+1])
			}
		}
	}
}

// tally collects handled changes until it is time to store their cursors.
type tally struct {
	s       *Subscription
	handled []Change
	since   time.Time
}

func (t *tally) add(changes []Change) {
	if len(t.handled) == 0 {
		t.since = time.Now()
	}
	for i := range changes {
		if changes[i].Moves() {
			// Only key and cursor are needed; the batch would be held in memory.
			t.handled = append(t.handled, Change{Kind: changes[i].Kind, Key: changes[i].Key, Cursor: changes[i].Cursor})
		}
	}
}

// settle stores the cursors if there are enough, if they wait long enough, or
// if nothing else is to be done.
func (t *tally) settle(ctx context.Context) error {
	if len(t.handled) == 0 {
		return nil
	}
	if len(t.handled) < commitChanges && time.Since(t.since) < commitInterval && !t.s.box.empty() {
		return nil
	}
	err := t.s.Commit(ctx, Entries(t.handled))
	if err == nil {
		t.handled = t.handled[:0]
	}
	return err
}

// last stores what is left after the consumer stopped.
func (t *tally) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCommit)
	defer cancel()
	if len(t.handled) > 0 {
		_ = t.s.Commit(ctx, Entries(t.handled))
		t.handled = t.handled[:0]
	}
}
