package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// run owns the engine: it applies inputs, lets time pass and executes commands.
// It never waits for the consumer or the network.
func (s *Subscription) run() {
	defer s.work.Done()
	x := s.executor
	scope := s.Scope()
	e := engine.New(engine.Options{
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
		ContinueOnly: s.opts.Continuation == ContinueOnly,
		NewBackoff:   newBackoff,
		NewScout:     newScout,
	})
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()

	e.Start(time.Now())
	for {
		for {
			commands := e.Commands()
			if len(commands) == 0 {
				break
			}
			for i := range commands {
				if !x.execute(&commands[i]) {
					return
				}
			}
			e.Recycle(commands)
		}
		s.publish(e)
		if at, ok := e.NextWake(time.Now()); ok {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case in := <-s.inputs:
			in(e, time.Now())
		case <-timer.C:
			e.Tick(time.Now())
		case <-s.ctx.Done():
			s.announce(engine.Command{Phase: engine.Phase(Closed), Err: s.Err()})
			return
		}
	}
}

// feed hands an input to the loop; false once the subscription has ended.
func (s *Subscription) feed(in input) bool {
	select {
	case s.inputs <- in:
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (s *Subscription) publish(e *engine.Engine) {
	stats := e.Stats(time.Now())
	s.mu.Lock()
	s.stats = stats
	s.mu.Unlock()
}

// announce publishes a state: to State, to the log and to the observer.
func (s *Subscription) announce(c engine.Command) {
	state := State{Phase: Phase(c.Phase), Since: time.Now(), Shard: c.Shard, Cause: c.Err}
	s.mu.Lock()
	s.state = state
	s.mu.Unlock()
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
	if s.opts.OnState != nil {
		s.opts.OnState(state)
	}
}
