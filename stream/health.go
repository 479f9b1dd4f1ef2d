package stream

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// The causes that a [Retrying] can name.
const (
	// WhatHandler is user code that fails.
	WhatHandler = "handler"
	// WhatStore is the checkpoint store.
	WhatStore = "store"
	// WhatDatabase is the database of a projection.
	WhatDatabase = "database"
	// WhatNode is a node, or all of them.
	WhatNode = "node"
	// WhatClient is a client of a gateway.
	WhatClient = "client"
)

// Retrying is something that fails and is tried again.
type Retrying struct {
	// The activity that fails: [WhatHandler] and the like, or a word of the
	// consumer's own.
	What string
	// Since is when it failed first, of the failures in a row.
	Since time.Time
	// Err is the latest failure.
	Err error
	// Attempts counts the failures in a row.
	Attempts int
	// Next is when it is tried next; zero when that is not known.
	Next time.Time
}

const (
	// maxSubjects bounds, for each What, the failing requests that are told apart.
	maxSubjects = 64
	// subjectLife is how long a request counts as failing that is neither tried
	// again nor answered: its aggregate or shard may have left.
	subjectLife = time.Minute
	// repeatLog is how often a failure that lasts is logged again. Of those that begin and
	// end within that time only the first maxLogged are logged.
	repeatLog = 30 * time.Second
	maxLogged = 2
)

// health holds what is retried at present. A What is retried while one of its
// subjects (a link, a shard's list, an aggregate's read, the store) fails: the
// success of another subject proves nothing about it.
type health struct {
	failing atomic.Int32 // the number of troubles, so that success costs nothing

	mu       sync.Mutex
	troubles map[string]*trouble
	logged   map[string]*logged // by What
}

// logged counts the troubles of a What since a time: those that were logged when they
// began, and those that were not.
type logged struct {
	since        time.Time
	told, untold int
}

type trouble struct {
	Retrying
	subjects map[any]time.Time // when each failed last
	// logged is when the log had a line of it last; told tells that it had one.
	logged time.Time
	told   bool
}

// line tells whether the log is to have a line of a trouble. untold counts the earlier
// troubles of the same What that had none.
type line struct {
	due    bool
	untold int
}

// failed notes a failure and returns the trouble as it is now; began tells that it
// is the first of its What.
func (h *health) failed(now time.Time, what string, subject any, err error, next time.Time) (r Retrying, began bool, log line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.troubles[what]
	if t == nil {
		if h.troubles == nil {
			h.troubles = make(map[string]*trouble)
		}
		t = &trouble{Retrying: Retrying{What: what, Since: now}, subjects: make(map[any]time.Time)}
		t.logged = h.begins(now, what)
		h.troubles[what] = t
		h.failing.Add(1)
		began = true
	}
	if _, known := t.subjects[subject]; known || len(t.subjects) < maxSubjects {
		t.subjects[subject] = now
	}
	t.Err, t.Next = err, next
	t.Attempts++
	if log.due = now.Sub(t.logged) >= repeatLog; log.due {
		t.logged, t.told = now, true
		if l := h.logged[what]; l != nil {
			log.untold, l.untold = l.untold, 0
		}
	}
	return t.Retrying, began, log
}

// begins counts a trouble, and returns when the log is taken to have had a line of it: zero
// if it is to have one now. The caller holds mu.
func (h *health) begins(now time.Time, what string) (at time.Time) {
	l := h.logged[what]
	switch {
	case l == nil:
		if len(h.logged) >= maxSubjects {
			clear(h.logged) // a consumer reports under ever new words
		}
		if h.logged == nil {
			h.logged = make(map[string]*logged)
		}
		l = &logged{since: now}
		h.logged[what] = l
	case now.Sub(l.since) >= repeatLog:
		l.since, l.told = now, 0
	}
	if l.told < maxLogged {
		l.told++
		return time.Time{}
	}
	l.untold++
	return l.since
}

// succeeded notes that a subject works and returns the trouble that has ended
// with that, if one has, and whether the log has a line of its begin.
func (h *health) succeeded(now time.Time, what string, subject any) (r Retrying, ended, told bool) {
	if h.failing.Load() == 0 {
		return Retrying{}, false, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.troubles[what]
	if t == nil {
		return Retrying{}, false, false
	}
	delete(t.subjects, subject)
	for s, last := range t.subjects {
		if now.Sub(last) >= subjectLife {
			delete(t.subjects, s)
		}
	}
	if len(t.subjects) > 0 {
		return Retrying{}, false, false
	}
	delete(h.troubles, what)
	h.failing.Add(-1)
	return t.Retrying, true, t.told
}

// retrying returns what fails now, the longest first; nil if nothing does.
func (h *health) retrying() []Retrying {
	if h.failing.Load() == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Retrying, 0, len(h.troubles))
	for _, t := range h.troubles {
		out = append(out, t.Retrying)
	}
	slices.SortFunc(out, func(a, b Retrying) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.What, b.What))
	})
	return out
}

// Healthy tells whether the subscription does its work, for a readiness probe: nil if
// it runs, all shards are watched or it is catching up with them, nothing has been
// retried for longer than maxLag, and nothing has waited to be handled for longer than
// that. Otherwise the error names the reason, and wraps the cause if there is one.
// Healthy costs as much as Stats.
func (s *Subscription) Healthy(maxLag time.Duration) error {
	stats, now := s.Stats(), time.Now()
	if stats.Cause != nil {
		return fmt.Errorf("stream: %q has ended: %w", s.opts.Name, stats.Cause)
	}
	for _, r := range stats.Retrying {
		if d := now.Sub(r.Since); d > maxLag {
			return fmt.Errorf("stream: %q has been retrying its %s for %v: %w", s.opts.Name, r.What, d.Round(time.Millisecond), r.Err)
		}
	}
	switch state := stats.State; {
	case stats.Unhandled > 0 && !stats.OldestPending.IsZero() && now.Sub(stats.OldestPending) > maxLag:
		return fmt.Errorf("stream: %q has %d versions to handle, the oldest for %v", s.opts.Name, stats.Unhandled,
			now.Sub(stats.OldestPending).Round(time.Millisecond))
	case (state.Phase == Connecting || state.Phase == Reconnecting) && now.Sub(state.Since) > maxLag:
		if state.Cause == nil {
			return fmt.Errorf("stream: %q has been %v for %v", s.opts.Name, state.Phase, now.Sub(state.Since).Round(time.Millisecond))
		}
		return fmt.Errorf("stream: %q has been %v for %v: %w", s.opts.Name, state.Phase, now.Sub(state.Since).Round(time.Millisecond), state.Cause)
	}
	return nil
}

// ReportRetry shows in Stats, State, hooks and the log that something of the
// consumer's fails and is tried again, at next if that is not zero. what is one of
// WhatHandler, WhatDatabase and the like. Call it for each failure: repeated ones
// are counted, and logged now and then.
func (s *Subscription) ReportRetry(what string, err error, next time.Time) {
	s.failing(what, what, err, next)
}

// ReportRecovered ends what ReportRetry began. Without a retry it does nothing.
func (s *Subscription) ReportRecovered(what string) { s.working(what, what) }

// ReportParked names the aggregates that the consumer has set aside, in place of those
// that it named before. Stats counts them; of a shared subscription those of the
// partitions owned here, so that the members' numbers add up. keys must not be changed
// afterwards.
func (s *Subscription) ReportParked(keys []msg.Key) {
	s.step.Lock()
	defer s.step.Unlock()
	s.parked = keys
	s.engine.SetAside(keys)
}

// parkedHere counts the aggregates that the consumer has set aside and that are owned
// here. The caller holds step.
func (s *Subscription) parkedHere() int {
	if s.member == nil {
		return len(s.parked)
	}
	n := 0
	for _, key := range s.parked {
		if s.member.claims[s.member.partition(key)] != nil {
			n++
		}
	}
	return n
}

// failing notes that a subject of what failed.
func (s *Subscription) failing(what string, subject any, err error, next time.Time) {
	r, began, log := s.health.failed(time.Now(), what, subject, err, next)
	observe := s.opts.Hooks.Retrying
	if log.due || observe != nil {
		s.callbacks.add(func() {
			if log.due {
				s.logger.Warn(what+" failed, trying again", log.attributes(r, "next", r.Next)...)
			}
			if observe != nil {
				observe(r)
			}
		})
	}
	if began {
		s.retryingChanged()
	}
}

// attributes are those of a line, followed by more.
func (l line) attributes(r Retrying, more ...any) []any {
	all := append([]any{"since", r.Since, "attempts", r.Attempts, "cause", r.Err}, more...)
	if l.untold > 0 {
		all = append(all, "unlogged", l.untold) // failures that came and went
	}
	return all
}

// working notes that a subject of what succeeded.
func (s *Subscription) working(what string, subject any) {
	r, ended, told := s.health.succeeded(time.Now(), what, subject)
	if !ended {
		return
	}
	observe := s.opts.Hooks.Recovered
	s.callbacks.add(func() {
		if told {
			s.logger.Info(what+" works again", line{}.attributes(r)...)
		}
		if observe != nil {
			observe(r)
		}
	})
	s.retryingChanged()
}

// retryingChanged tells observers of the state, but not the log, which has a line
// of its own.
func (s *Subscription) retryingChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Phase != Closed {
		s.tellState(false)
	}
}

// Subjects of node and store, besides links and keys.
type (
	discovery struct{}
	listing   uint64 // a shard
	leading   string // a node
	loading   struct{}
	saving    struct{}
	leasing   struct{}
)

// nodeAnswered notes what came of a request. Only a request that is made again
// because of its failure is retried: an answer that the engine draws conclusions
// from is none.
func (s *Subscription) nodeAnswered(err error, subject any) {
	if err != nil {
		if s.ctx.Err() != nil {
			return // it ends because the subscription does
		}
		switch classify(err).Kind {
		case engine.Unavailable, engine.Refused, engine.Silent, engine.TooLarge, engine.Deposed:
			s.failing(WhatNode, subject, err, time.Time{})
			return
		}
	}
	s.working(WhatNode, subject)
}

// storeAnswered notes what came of a call of the checkpoint store.
func (s *Subscription) storeAnswered(err error, subject any) {
	switch {
	case err == nil:
		s.working(WhatStore, subject)
	case s.ctx.Err() == nil && !permanent(err):
		s.failing(WhatStore, subject, err, time.Time{})
	}
}
