package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// The engine, and what carries out its commands, belong to no goroutine: whoever
// has an input takes the lock step, applies it and carries out what follows, which
// waits for neither the consumer nor the network. A goroutine of its own would cost
// each change two hand-offs more.

// begin starts the engine.
func (s *Subscription) begin() {
	x := s.executor
	scope := s.Scope()
	options := engine.Options{
		Contains:       s.opts.contains(scope),
		Explicit:       s.opts.explicit(scope),
		FromNow:        s.opts.Start == FromNow,
		LiveOnly:       s.opts.Start == LiveOnly,
		Started:        s.opts.contains(s.made),
		Parts:          len(x.filters),
		Readers:        s.opts.Readers,
		Buffer:         s.opts.Buffer,
		MaxUncommitted: s.opts.MaxUncommitted,
		MaxLanes:       maxLanes,
		MaxShards:      maxShards,
		Liveness:       s.opts.Liveness,
		Healthy:        healthy,
		Reconcile:      s.opts.Reconcile,
		Followers:      s.opts.Followers,
		Probe:          s.opts.Probe,
		MaxLag:         s.opts.MaxLag,
		Late:           late,
		Recent:         recent,
		ContinueOnly:   s.opts.Continuation == ContinueOnly,
		NewBackoff:     newBackoff,
		NewReconnect:   newReconnect,
	}
	if m := s.member; m != nil {
		options.Partition, options.PartitionShards = m.partition, m.shards
		options.FromNow, options.Started = m.startsAt > 0, m.startMade
	}
	s.engine = engine.New(options)
	s.step.Lock()
	s.timer = time.AfterFunc(time.Hour, s.tick)
	now := time.Now()
	if s.member == nil { // otherwise it starts with the first partition
		s.engine.Start(now)
		s.runCommands(now)
	}
	s.step.Unlock()
}

// feed applies an input; false once the subscription has ended.
func (s *Subscription) feed(in input) bool {
	s.step.Lock()
	fed := s.apply(in)
	s.step.Unlock()
	return fed
}

// feedBy is feed for a reader; it returns the reader's next job, if there is one. Then
// another reader goes on with the unfinished job, which is nil when there is none.
func (s *Subscription) feedBy(unfinished job, in input) (next job) {
	r := &s.executor.readers
	s.step.Lock()
	r.feeding = true
	s.apply(in)
	next = r.takeInline()
	switch {
	case next == nil && unfinished == nil:
		r.idle++
	case next != nil && unfinished != nil:
		s.executor.handOver(unfinished)
	}
	s.step.Unlock()
	return next
}

// apply applies an input and carries out what follows. The caller holds step.
func (s *Subscription) apply(in input) bool {
	if s.over || s.ctx.Err() != nil {
		return false // what ends because the subscription does is no news
	}
	now := time.Now()
	in(s.engine, now)
	s.runCommands(now)
	return true
}

// tick lets time pass.
func (s *Subscription) tick() {
	s.feed(func(e *engine.Engine, now time.Time) {
		s.armed = time.Time{}
		e.Tick(now)
		s.watchLag(now)
	})
}

// runCommands carries out the engine's commands and sets the timer. The caller
// holds step.
func (s *Subscription) runCommands(now time.Time) {
	for {
		commands := s.engine.Commands()
		if len(commands) == 0 {
			break
		}
		for i := range commands {
			if !s.executor.execute(&commands[i]) {
				s.stop(now)
				return
			}
		}
		s.engine.Recycle(commands)
	}
	// A timer that is set too early costs a step that does nothing; one that is set
	// anew in each step costs more.
	at, ok := s.engine.NextWake(now)
	if ok && (s.armed.IsZero() || at.Before(s.armed)) {
		s.armed = at
		s.timer.Reset(at.Sub(now))
	}
}

// stop has nothing fed any more. The caller holds step.
func (s *Subscription) stop(now time.Time) {
	if !s.over {
		s.over, s.endedAt = true, now
		s.timer.Stop()
	}
}

// now is the time of the engine, which ends with the subscription. The caller holds
// step.
func (s *Subscription) now() time.Time {
	if s.over {
		return s.endedAt
	}
	return time.Now()
}

// announce publishes a state.
func (s *Subscription) announce(state State) {
	state.Since = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Each failure to connect is a state with another cause. The phase goes on, and the
	// failures have sampled lines of their own in the log.
	again := state.Phase == Connecting && s.state.Phase == Connecting && state.Cause != nil
	if again {
		state.Since = s.state.Since
	}
	s.state = state
	s.tellState(!again)
	if hook := s.opts.Hooks.TakenOver; hook != nil && state.Phase == Live {
		if done, ended := s.takingOver.live(state.Since); ended {
			s.callbacks.add(func() { hook(done) })
		}
	}
}

// tellState has the present state told, entered if it is a new one. The caller holds
// mu, so that states are told in the order in which they came.
func (s *Subscription) tellState(entered bool) {
	state := s.state.with(s.health.retrying())
	var calls []func()
	if entered {
		calls = append(calls, func() { s.log(state) })
	}
	for _, observe := range []func(State){s.opts.OnState, s.opts.Hooks.State} {
		if observe != nil {
			calls = append(calls, func() { observe(state) })
		}
	}
	if state.Phase == Closed {
		s.callbacks.addLast(calls...)
		return
	}
	s.callbacks.add(calls...)
}

func (s *Subscription) log(state State) {
	if errors.Is(state.Cause, ErrUncommitted) {
		s.logger.Warn("nothing further is read until the consumer commits", "phase", state.Phase, "cause", state.Cause)
		return
	}
	switch state.Phase {
	case Reconnecting:
		s.logger.Warn("shard lost, reconnecting and reconciling it", "shard", state.Shard, "cause", state.Cause)
	case Connecting:
		s.logger.Info("connecting to learn the shards", "cause", state.Cause)
	case CatchingUp:
		s.logger.Info("all shards watched, catching up")
	case Live:
		s.logger.Info("caught up, live")
	case Closed:
		level := slog.LevelWarn
		if errors.Is(state.Cause, ErrClosed) {
			level = slog.LevelInfo
		}
		s.logger.Log(context.Background(), level, "subscription ended", "cause", state.Cause)
	}
}
