package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// Commit stores the cursors of handled changes, see [Entries]. A store that
// fails is tried again with backoff until ctx or the subscription ends, which
// [Stats] shows meanwhile; the error then joins the store's and the end's cause.
// After the end of the subscription Commit still stores, and tries for 5 s at most; the
// error then is an [ErrLastCommit].
//
// A cursor below the stored one costs its aggregate only: the others are stored, and
// the error is a [*checkpoint.RegressionError] that names the first such key. A cursor
// that no store keeps is refused at once with a [*checkpoint.CursorError], and nothing
// of the call is stored. Any
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
			cancel(fmt.Errorf("%w (%w)", ErrLastCommit, context.Cause(s.ctx)))
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		expired()
		cancel(context.Canceled)
	}
}

// commit is Commit under a context that committing made. The entries are saved
// whatever they follow: a position that is handled may be stored behind any
// earlier one.
func (s *Subscription) commit(ctx context.Context, entries []checkpoint.Entry) error {
	if s.member != nil {
		return s.member.commit(ctx, entries)
	}
	if slices.ContainsFunc(entries, func(e checkpoint.Entry) bool { return e.Compare }) {
		entries = slices.Clone(entries)
		for i := range entries {
			entries[i].From, entries[i].Compare = checkpoint.Cursor{}, false
		}
	}
	var behind error // of the first aggregate that would go back
	rest := entries
	err := s.persist(ctx, func() error {
		for len(rest) > 0 {
			err := s.save(ctx, rest)
			others, key, ok := withoutRegression(rest, err)
			if !ok {
				return err
			}
			if behind == nil && !s.hasLeft(key) {
				behind = &behindError{name: s.opts.Name, err: err}
			}
			rest = others
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("stream: storing %d cursors of %q: %w", len(rest), s.opts.Name, err)
	}
	s.committed(entries)
	return behind
}

// Apply changes the subscription's checkpoint as m says, whole or not at all, under
// the claims it names, or else under [Subscription.Owner]; m's entries count as
// committed then. Failures are retried and end the subscription as by Commit. A lost
// race for a record is returned as the [*checkpoint.RevisionError] it is, and a cursor
// that is stored already as a [*checkpoint.AppliedError]. The store must be a
// [checkpoint.RecordStore].
func (s *Subscription) Apply(ctx context.Context, m checkpoint.Mutation) error {
	store, ok := s.opts.Store.(checkpoint.RecordStore)
	if !ok {
		return fmt.Errorf("stream: changing records of %q: a %T keeps none", s.opts.Name, s.opts.Store)
	}
	switch {
	case s.member != nil:
		return s.member.mutate(ctx, store, m)
	case len(m.Owners) == 0:
		m.Owners = []checkpoint.Owner{s.owner}
	}
	ctx, cancel := s.committing(ctx)
	defer cancel()
	err := s.persist(ctx, func() error {
		began := time.Now()
		err := store.Apply(ctx, s.opts.Name, m)
		s.saved(len(m.Entries), began, err)
		return err
	})
	if err != nil {
		return fmt.Errorf("stream: changing the checkpoint of %q: %w", s.opts.Name, err)
	}
	s.Committed(m.Entries)
	return nil
}

// persist tries until an attempt succeeds or is refused for good, or ctx or the
// subscription ends. A refusal that concerns more than the attempt ends the
// subscription. After its end attempts go on as long as ctx allows.
func (s *Subscription) persist(ctx context.Context, attempt func() error) error {
	var pace engine.Backoff
	ended := s.ctx.Done()
	if s.ctx.Err() != nil {
		ended = nil
	}
	for {
		err := attempt()
		switch {
		case err == nil:
			return nil
		case refused(err):
			return err
		case permanent(err):
			err = s.explained(ctx, err)
			s.Fail(fmt.Errorf("stream: storing in the checkpoint of %q: %w", s.opts.Name, err))
			return err
		}
		if pace == nil {
			pace = newBackoff()
		}
		pause := pace.NextBackOff()
		s.failing(WhatStore, saving{}, err, time.Now().Add(pause))
		wait := time.NewTimer(pause)
		if ctx.Err() != nil {
			ended = nil // its cause tells how long the store had
		}
		select {
		case <-wait.C:
			continue
		case <-ctx.Done():
			err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-ended:
			err = fmt.Errorf("%w (%w)", err, context.Cause(s.ctx))
		}
		wait.Stop()
		return err
	}
}

// refused reports whether a store refused one change for what it is.
func refused(err error) bool {
	var (
		revision *checkpoint.RevisionError
		applied  *checkpoint.AppliedError
		record   *checkpoint.RecordError
		cursor   *checkpoint.CursorError
	)
	return errors.As(err, &cursor) || errors.As(err, &revision) || errors.As(err, &applied) || errors.As(err, &record)
}

// save makes one attempt.
func (s *Subscription) save(ctx context.Context, entries []checkpoint.Entry) error {
	began := time.Now()
	err := s.opts.Store.Save(ctx, s.owner, entries)
	s.saved(len(entries), began, err)
	return err
}

// saved has an attempt told.
func (s *Subscription) saved(entries int, began time.Time, err error) {
	if err == nil {
		s.working(WhatStore, saving{})
	}
	if hook := s.opts.Hooks.Commit; hook != nil {
		observe(s, hook, CommitDone{Store: s.storeType, Entries: entries, Duration: time.Since(began), Err: err})
	}
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
	var finished []uint32
	s.step.Lock()
	s.stored = time.Now()
	if !s.apply(func(e *engine.Engine, now time.Time) { e.Committed(now, entries) }) {
		s.engine.Committed(s.now(), entries)
		s.engine.Recycle(s.engine.Commands())
	}
	if s.member != nil {
		finished = s.member.committed(entries)
	}
	s.step.Unlock()
	if len(finished) > 0 {
		s.member.finished(finished)
	}
	if hook := s.opts.Hooks.Committed; hook != nil {
		observe(s, hook, entries)
	}
}
