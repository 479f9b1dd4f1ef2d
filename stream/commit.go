package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// Commit stores the cursors of handled changes, see [Entries]. A store that
// fails is tried again with backoff until ctx or the subscription ends, which
// [Stats] shows meanwhile; the error then joins the store's and the end's cause.
// After the end of the subscription Commit still stores, and tries for 5 s at most.
//
// A cursor below the stored one costs its aggregate only: the others are stored, and
// the error is a [*checkpoint.RegressionError] that names the first such key. Any
// other refusal for good, such as [checkpoint.ErrFenced], ends the subscription with
// it. Saving is repeatable, so that an ambiguous save is simply saved again.
func (s *Subscription) Commit(ctx context.Context, entries []checkpoint.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := s.committing(ctx)
	defer cancel()
	return s.commit(ctx, entries)
}

// committing returns a context for saves: it ends with ctx, and lastCommit after the
// subscription has, so that a store that does not answer holds nothing up for ever.
func (s *Subscription) committing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	expired := context.AfterFunc(s.ctx, func() {
		timer := time.NewTimer(lastCommit)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(s.ctx))
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		expired()
		cancel(context.Canceled)
	}
}

// commit is Commit under a context that committing made.
func (s *Subscription) commit(ctx context.Context, entries []checkpoint.Entry) error {
	var pace engine.Backoff
	var behind error // the first regression
	ended := s.ctx.Done()
	if s.ctx.Err() != nil {
		ended = nil // the last attempts are made after the end
	}
	all := entries
	for {
		err := s.save(ctx, entries)
		if err == nil {
			s.committed(all)
			return behind
		}
		if rest, key, ok := withoutRegression(entries, err); ok {
			if behind == nil && !s.hasLeft(key) {
				behind = &behindError{name: s.opts.Name, err: err}
			}
			if entries = rest; len(rest) > 0 {
				continue
			}
			s.committed(all)
			return behind
		}
		err = fmt.Errorf("stream: storing %d cursors of %q: %w", len(entries), s.opts.Name, err)
		if permanent(err) {
			s.Fail(err)
			return err
		}
		if pace == nil {
			pace = newBackoff()
		}
		pause := pace.NextBackOff()
		s.failing(WhatStore, saving{}, err, time.Now().Add(pause))
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-ended:
			wait.Stop()
			return fmt.Errorf("%w (%w)", err, context.Cause(s.ctx))
		}
	}
}

// save makes one attempt.
func (s *Subscription) save(ctx context.Context, entries []checkpoint.Entry) error {
	began := time.Now()
	err := s.opts.Store.Save(ctx, s.owner, entries)
	if err == nil {
		s.working(WhatStore, saving{})
	}
	if hook := s.opts.Hooks.Commit; hook != nil {
		observe(s, hook, CommitDone{Entries: len(entries), Duration: time.Since(began), Err: err})
	}
	return err
}

// behindError says that cursors of some aggregates lie behind what is stored, and that
// all others are stored.
type behindError struct {
	name string
	err  error
}

func (e *behindError) Error() string {
	return fmt.Sprintf("stream: storing cursors of %q, all others are stored: %v", e.name, e.err)
}

func (e *behindError) Unwrap() error { return e.err }

// withoutRegression returns the entries but those of the aggregate that a save was
// refused for; false if it was refused for something else.
func withoutRegression(entries []checkpoint.Entry, refusal error) (rest []checkpoint.Entry, key msg.Key, ok bool) {
	var regression *checkpoint.RegressionError
	if !errors.As(refusal, &regression) {
		return nil, key, false
	}
	for _, e := range entries {
		if e.Key != regression.Key {
			rest = append(rest, e)
		}
	}
	return rest, regression.Key, len(rest) < len(entries)
}

// hasLeft reports whether the aggregate has left the scope at some time. If it
// has joined again, it went on where it was stored then, and what was handled until
// then may be stored later, as if it went back.
func (s *Subscription) hasLeft(key msg.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left.Contains(key)
}

// Committed says that the caller stored the cursors itself, for instance with
// SaveTx inside its own transaction. entries must not be changed afterwards.
func (s *Subscription) Committed(entries []checkpoint.Entry) {
	if len(entries) > 0 {
		s.committed(entries)
	}
}

// committed tells the engine what is stored, also after the end: its numbers stay.
func (s *Subscription) committed(entries []checkpoint.Entry) {
	s.step.Lock()
	defer s.step.Unlock()
	if !s.apply(func(e *engine.Engine, now time.Time) { e.Committed(now, entries) }) {
		s.engine.Committed(s.now(), entries)
		s.engine.Recycle(s.engine.Commands())
	}
}
