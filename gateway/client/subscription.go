package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Subscription is a running subscription through a gateway. Next is for one
// goroutine at a time; everything else is safe for concurrent use.
type Subscription struct {
	client *Client
	scope  stream.Scope
	opts   WatchOptions
	store  checkpoint.Store
	owner  checkpoint.Owner
	logger *slog.Logger

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu     sync.Mutex
	ended  error
	queue  []message
	wake   chan struct{} // a token when something was queued or the subscription ended
	lanes  lanes
	held   map[msg.Key]hold
	holds  uint64               // holds so far
	redo   map[msg.Key]struct{} // asked for while there was no connection
	taken  message              // the slice the consumer has, without its changes
	link   *link                // the connection at work, nil between two
	tried  uint64               // connections so far
	state  stream.State
	latest stream.Stats

	telling  sync.Mutex // orders calls of OnState
	handlers stream.Handlers
	retrying map[string]stream.Retrying // what is tried again, by what fails
}

var _ stream.Consumer = (*Subscription)(nil)

// message is what came in one message.
type message struct {
	changes []stream.Change
	attempt uint64   // the connection it came on
	fixed   []uint64 // deliveries that move no position
	bytes   int64
}

// Subscribe starts a subscription. Subscribe acquires the checkpoint first, so
// another scope than the stored one, a damaged store or a bad name is reported
// here; a gateway that cannot be reached is not an error but a state. ctx
// bounds the acquiring only. The subscription runs until [Subscription.Close].
func (o *Observable) Subscribe(ctx context.Context) (*Subscription, error) {
	opts := o.opts
	switch {
	case o.scope.Empty():
		return nil, errors.New("gateway: the scope follows nothing: name at least one member")
	case opts.Start != stream.FromBeginning && opts.Start != stream.FromNow:
		return nil, fmt.Errorf("gateway: option Start is %d: want FromBeginning or FromNow", opts.Start)
	case opts.Continuation > stream.ContinueOnly:
		return nil, fmt.Errorf("gateway: option Continuation is %d: want Replay or ContinueOnly", opts.Continuation)
	case opts.Changes < 0 || opts.Bytes < 0:
		return nil, fmt.Errorf("gateway: options Changes and Bytes are %d and %d: want positive numbers", opts.Changes, opts.Bytes)
	}
	if opts.Name == "" {
		opts.Name = o.scope.String()
	}
	store := opts.Store
	if store == nil {
		store = checkpoint.NewMemory()
	}
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: opts.Name, Scope: o.scope.String(), Adopt: opts.AdoptScope})
	if err != nil {
		return nil, fmt.Errorf("gateway: acquiring the checkpoint of %q: %w", opts.Name, err)
	}
	s := &Subscription{
		client:   o.client,
		scope:    o.scope,
		opts:     opts,
		store:    store,
		owner:    owner,
		logger:   o.client.logger.With("subscription", opts.Name),
		done:     make(chan struct{}),
		wake:     make(chan struct{}, 1),
		lanes:    make(lanes),
		held:     make(map[msg.Key]hold),
		redo:     make(map[msg.Key]struct{}),
		retrying: make(map[string]stream.Retrying),
		state:    stream.State{Phase: stream.Connecting, Since: time.Now()},
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	go func() {
		defer close(s.done)
		s.run()
		if o.opts.Store == nil {
			_ = store.Close()
		}
		s.tell(stream.State{Phase: stream.Closed, Since: time.Now(), Cause: s.Err()})
	}()
	return s, nil
}

// Owner implements stream.Consumer.
func (s *Subscription) Owner() checkpoint.Owner { return s.owner }

// Store implements stream.Consumer.
func (s *Subscription) Store() checkpoint.Store { return s.store }

// Name implements stream.Consumer.
func (s *Subscription) Name() string { return s.opts.Name }

// State implements stream.Consumer.
func (s *Subscription) State() stream.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Done implements stream.Consumer.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Err implements stream.Consumer.
func (s *Subscription) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Stats implements stream.Consumer. The numbers are those the gateway sent last, at
// most five seconds ago, with what this side knows better.
func (s *Subscription) Stats() stream.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.latest
	stats.State, stats.Cause = s.state, s.ended
	stats.Retrying = slices.SortedFunc(maps.Values(s.retrying), func(a, b stream.Retrying) int { return a.Since.Compare(b.Since) })
	stats.State.Retrying = stats.Retrying
	stats.Reconnects = max(s.tried, 1) - 1
	for _, p := range s.queue {
		stats.Waiting += len(p.changes)
		stats.Buffered += p.bytes
	}
	return stats
}

// Fail implements stream.Consumer.
func (s *Subscription) Fail(cause error) {
	if cause == nil {
		cause = stream.ErrClosed
	}
	s.mu.Lock()
	if s.ended == nil {
		s.ended = cause
		s.queue = nil
	}
	s.mu.Unlock()
	s.cancel(cause)
	signal(s.wake)
}

// Handlers implements stream.Consumer.
func (s *Subscription) Handlers() *stream.Handlers { return &s.handlers }

// ReportRetry implements stream.Consumer.
func (s *Subscription) ReportRetry(what string, err error, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known := s.retrying[what]
	if !known {
		r = stream.Retrying{What: what, Since: time.Now()}
	}
	r.Err, r.Next = err, next
	r.Attempts++
	s.retrying[what] = r
}

// HandlerVersion implements stream.Consumer; the gateway knows none.
func (s *Subscription) HandlerVersion() string { return "" }

// ReportRecovered implements stream.Consumer.
func (s *Subscription) ReportRecovered(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.retrying, what)
}

// ReportParked implements stream.Consumer.
func (s *Subscription) ReportParked(keys []msg.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest.Parked = len(keys)
}

// Close implements stream.Consumer.
func (s *Subscription) Close(ctx context.Context) error {
	s.Fail(stream.ErrClosed)
	if err := s.handlers.Wait(ctx); err != nil {
		return fmt.Errorf("gateway: closing %q: waiting for handlers: %w", s.opts.Name, err)
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("gateway: closing %q: %w", s.opts.Name, context.Cause(ctx))
	}
}

// Next implements stream.Consumer.
func (s *Subscription) Next(ctx context.Context) ([]stream.Change, error) {
	s.mu.Lock()
	if s.taken.attempt == s.tried {
		s.acknowledgeLocked(s.taken.fixed)
	}
	s.taken = message{}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			p := s.queue[0]
			s.queue[0] = message{}
			s.queue = s.queue[1:]
			s.taken = message{attempt: p.attempt, fixed: p.fixed}
			s.lanes.taken(p.changes)
			s.mu.Unlock()
			return p.changes, nil
		}
		ended := s.ended
		s.mu.Unlock()
		if ended != nil {
			signal(s.wake) // wake whoever else waits
			return nil, ended
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Commit implements stream.Consumer. As without a gateway, a cursor below the stored
// one costs its aggregate only.
func (s *Subscription) Commit(ctx context.Context, entries []checkpoint.Entry) error {
	var behind error // of the first aggregate that would go back
	rest := slices.Clone(entries)
	for i := range rest {
		// A position that was handled may be stored behind any earlier one.
		rest[i].From, rest[i].Compare = checkpoint.Cursor{}, false
	}
	err := s.persist(ctx, func() error {
		for len(rest) > 0 {
			err := s.store.Save(ctx, s.owner, rest)
			var regression *checkpoint.RegressionError
			if !errors.As(err, &regression) {
				return err
			}
			if behind == nil {
				behind = fmt.Errorf("gateway: storing cursors of %q, all others are stored: %w", s.opts.Name, err)
			}
			left := slices.DeleteFunc(slices.Clone(rest), func(e checkpoint.Entry) bool { return e.Key == regression.Key })
			if len(left) == len(rest) {
				return err
			}
			rest = left
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("gateway: storing %d cursors of %q: %w", len(rest), s.opts.Name, err)
	}
	s.Committed(entries)
	return behind
}

// Apply implements stream.Consumer.
func (s *Subscription) Apply(ctx context.Context, m checkpoint.Mutation) error {
	store, ok := s.store.(checkpoint.RecordStore)
	if !ok {
		return fmt.Errorf("gateway: changing records of %q: a %T keeps none", s.opts.Name, s.store)
	}
	if len(m.Owners) == 0 {
		m.Owners = []checkpoint.Owner{s.owner}
	}
	if err := s.persist(ctx, func() error { return store.Apply(ctx, s.opts.Name, m) }); err != nil {
		return fmt.Errorf("gateway: changing the checkpoint of %q: %w", s.opts.Name, err)
	}
	s.Committed(m.Entries)
	return nil
}

// persist tries until an attempt succeeds or is refused for good, or ctx ends. A
// refusal that concerns more than the attempt ends the subscription.
func (s *Subscription) persist(ctx context.Context, attempt func() error) error {
	pace := newPace()
	for {
		err := attempt()
		switch {
		case err == nil:
			s.ReportRecovered(stream.WhatStore)
			return nil
		case refused(err):
			return err
		case permanent(err):
			s.Fail(fmt.Errorf("gateway: storing in the checkpoint of %q: %w", s.opts.Name, err))
			return err
		}
		pause := pace.NextBackOff()
		s.ReportRetry(stream.WhatStore, err, time.Now().Add(pause))
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

// refused reports whether a store refused one change for what it is.
func refused(err error) bool {
	var (
		revision *checkpoint.RevisionError
		applied  *checkpoint.AppliedError
		record   *checkpoint.RecordError
	)
	return errors.As(err, &revision) || errors.As(err, &applied) || errors.As(err, &record)
}

// Committed implements stream.Consumer.
func (s *Subscription) Committed(entries []checkpoint.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(entries) > 0 {
		s.latest.LastCommit = time.Now()
	}
	s.acknowledgeLocked(s.lanes.committed(entries, s.tried))
}

// acknowledgeLocked acknowledges deliveries of the connection at work.
func (s *Subscription) acknowledgeLocked(deliveries []uint64) {
	if s.link != nil && len(deliveries) > 0 {
		s.link.acknowledge(deliveries)
	}
}

// tell sets a state and calls OnState.
func (s *Subscription) tell(state stream.State) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	same := s.state.Phase == state.Phase && (s.state.Cause == nil) == (state.Cause == nil)
	if !same {
		s.state = state
	}
	s.mu.Unlock()
	if same {
		return
	}
	s.logger.Debug("state", "state", state.String())
	if s.opts.OnState != nil {
		s.opts.OnState(state)
	}
}

// newPace paces repetitions: 50 ms growing by half to 5 s, each varied by half.
func newPace() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}

// permanent reports whether repeating a call of the checkpoint store is useless.
func permanent(err error) bool {
	for _, final := range []error{checkpoint.ErrFenced, checkpoint.ErrClosed, checkpoint.ErrFailed} {
		if errors.Is(err, final) {
			return true
		}
	}
	var (
		regression *checkpoint.RegressionError
		damaged    *checkpoint.DamagedError
		version    *checkpoint.VersionError
		name       *checkpoint.NameError
		size       *checkpoint.SizeError
	)
	return errors.As(err, &regression) || errors.As(err, &damaged) || errors.As(err, &version) ||
		errors.As(err, &name) || errors.As(err, &size)
}

// signal leaves a token in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
