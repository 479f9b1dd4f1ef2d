package stream

import (
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
	s.engine = engine.New(engine.Options{
		Contains:     s.opts.contains(scope),
		Explicit:     s.opts.explicit(scope),
		FromNow:      s.fromNow,
		Parts:        len(x.filters),
		Readers:      s.opts.Readers,
		Buffer:       s.opts.Buffer,
		MaxLanes:     maxLanes,
		Liveness:     s.opts.Liveness,
		Healthy:      healthy,
		Reconcile:    s.opts.Reconcile,
		Followers:    s.opts.Followers,
		Probe:        s.opts.Probe,
		MaxLag:       s.opts.MaxLag,
		Late:         late,
		Recent:       recent,
		ContinueOnly: s.opts.Continuation == ContinueOnly,
		NewBackoff:   newBackoff,
		NewScout:     newScout,
	})
	s.step.Lock()
	s.timer = time.AfterFunc(time.Hour, s.tick)
	now := time.Now()
	s.engine.Start(now)
	s.settle(now)
	s.step.Unlock()
	s.tell()
}

// feed applies an input; false once the subscription has ended.
func (s *Subscription) feed(in input) bool {
	s.step.Lock()
	fed := s.apply(in)
	s.step.Unlock()
	s.tell()
	return fed
}

// feedBy is feed for a reader; it returns the reader's next job, if there is one.
// If so, somebody else is to go on with what the reader was at; goOn is nil when it
// is done with that.
func (s *Subscription) feedBy(goOn job, in input) (next job) {
	r := &s.executor.readers
	s.step.Lock()
	r.offers = true
	s.apply(in)
	next = r.taken()
	switch {
	case next == nil && goOn == nil:
		r.idle++
	case next != nil && goOn != nil:
		s.executor.handOver(goOn)
	}
	s.step.Unlock()
	s.tell()
	return next
}

// apply applies an input and carries out what follows. The caller holds step.
func (s *Subscription) apply(in input) bool {
	if s.over || s.ctx.Err() != nil {
		return false // what ends because the subscription does is no news
	}
	now := time.Now()
	in(s.engine, now)
	s.settle(now)
	return true
}

// tick lets time pass.
func (s *Subscription) tick() {
	s.feed(func(e *engine.Engine, now time.Time) {
		s.armed = time.Time{}
		e.Tick(now)
	})
}

// settle carries out what the engine asks for and sets the timer. The caller
// holds step.
func (s *Subscription) settle(now time.Time) {
	for {
		commands := s.engine.Commands()
		if len(commands) == 0 {
			break
		}
		for i := range commands {
			if !s.executor.execute(&commands[i]) {
				s.over = true
				s.timer.Stop()
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

// finish is what follows the end: nothing is fed any more.
func (s *Subscription) finish() {
	s.step.Lock()
	s.over = true
	s.timer.Stop()
	s.announce(engine.Command{Phase: engine.Phase(Closed), Err: s.Err()})
	s.step.Unlock()
	s.tell()
	<-s.told
}

// announce publishes a state. The caller holds step.
func (s *Subscription) announce(c engine.Command) {
	state := State{Phase: Phase(c.Phase), Since: time.Now(), Shard: c.Shard, Cause: c.Err}
	s.mu.Lock()
	s.state = state
	s.untold = append(s.untold, state)
	s.mu.Unlock()
}

// tell hands states to the log and to the observer, in order, one goroutine at a
// time, without holding a lock: an observer may call the subscription.
func (s *Subscription) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.telling {
		return
	}
	s.telling = true
	for len(s.untold) > 0 {
		state := s.untold[0]
		s.untold = s.untold[1:]
		s.mu.Unlock()
		s.log(state)
		if s.opts.OnState != nil {
			s.opts.OnState(state)
		}
		s.mu.Lock()
		if state.Phase == Closed {
			close(s.told)
		}
	}
	s.telling = false
}

func (s *Subscription) log(state State) {
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
		s.logger.Info("subscription ended", "cause", state.Cause)
	}
}
