package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

const (
	// followers is the word under which the log's lines of lagging followers are sampled.
	followers = "follower"
	// noticeable is how long a follower lags before the log has a line of it: a page of the
	// leader's list and the follower's answer a moment later differ often.
	noticeable = time.Second
)

// laggard is the follower that the log was told of, or is to be told of. The step lock of
// the subscription guards it.
type laggard struct {
	engine.Laggard
	logged time.Time // as in trouble
	told   bool
}

// watchLag has the log told of a follower that lags, and that it does so no more. Of several
// it tells of the one that lags longest. The caller holds step.
func (s *Subscription) watchLag(now time.Time) {
	l := &s.laggard
	at, lags := s.engine.Laggard()
	switch was := l.Node != ""; {
	case lags && was:
		l.Since = at.Since // of the one that lags longest now
	case lags && now.Sub(at.Since) >= noticeable:
		s.health.mu.Lock()
		*l = laggard{Laggard: at, logged: s.health.begins(now, followers)}
		s.health.mu.Unlock()
	case !lags && was:
		if l.told {
			s.lagEnded(now, *l)
		}
		*l = laggard{}
		return
	default:
		return
	}
	if now.Sub(l.logged) < repeatLog {
		return
	}
	l.logged, l.told = now, true
	told := *l
	s.callbacks.add(func() {
		s.logger.Warn("the follower that is watched lags, the leader is read instead", "node", told.Node, "shard", told.Shard, "since", told.Since,
			"behind", now.Sub(told.Since), "next", "the leader is watched instead once the lag passes its bound", "bound", s.opts.MaxLag)
	})
}

// lagEnded has the log told why a follower lags no more: it keeps up, or is left.
func (s *Subscription) lagEnded(now time.Time, l laggard) {
	text := "the follower keeps up again"
	for _, w := range s.engine.Watches() {
		if w.Shard == l.Shard && w.Node != l.Node {
			text = "the follower that lagged is watched no more"
		}
	}
	s.callbacks.add(func() {
		s.logger.Info(text, "node", l.Node, "shard", l.Shard, "since", l.Since, "lasted", now.Sub(l.Since))
	})
}
