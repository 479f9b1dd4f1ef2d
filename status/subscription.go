package status

import (
	"context"
	"errors"
	"sync"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Subscription is what a page needs of a subscription; *stream.Subscription is one, and so is
// every stream.Consumer.
type Subscription interface {
	Name() string
	Stats() stream.Stats
}

// Watch shows a subscription, also after its end: with its cause, and with its numbers as they
// were. Asking it costs the same however much waits.
func (p *Page) Watch(s Subscription) { p.Add(&subscription{from: s}) }

type subscription struct {
	from Subscription

	mu   sync.Mutex
	live bool // it was seen live once
}

func (s *subscription) Collect(_ context.Context, c *Collection) {
	stats := s.from.Stats()
	s.mu.Lock()
	s.live = s.live || stats.State.Phase == stream.Live
	live := s.live
	s.mu.Unlock()
	f := factsOf(s.from.Name(), &stats)
	f.CaughtUp = live
	c.Facts = append(c.Facts, f)
}

// factsOf are the facts that a subscription's numbers tell.
func factsOf(name string, s *stream.Stats) Facts {
	f := Facts{
		Name:          name,
		Phase:         phaseOf(s.State.Phase),
		Since:         s.State.Since,
		Unhandled:     s.Unhandled,
		OldestPending: s.OldestPending,
		Uncommitted:   -1,
		Parked:        s.Parked,
		Unreadable:    s.Unreadable,
		LastCommit:    s.LastCommit,
		Partitions:    s.Partitions,
		OfPartitions:  s.OfPartitions,
		Batches:       s.Batches,
		Listing:       s.Listing,
		Listed:        s.Listed,
		Buffered:      s.Buffered,
		Lag:           s.Lag,
	}
	cause := s.State.Cause
	if s.Cause != nil {
		cause = s.Cause
	}
	if cause != nil {
		f.Cause = cause.Error()
	}
	f.Fenced = f.Phase == Closed && errors.Is(cause, checkpoint.ErrFenced)
	for i := range s.Retrying {
		r := &s.Retrying[i]
		retry := Retry{What: r.What, Since: r.Since, Attempts: r.Attempts, Next: r.Next}
		if r.Err != nil {
			retry.Error = r.Err.Error()
		}
		f.Retrying = append(f.Retrying, retry)
	}
	return f
}

func phaseOf(p stream.Phase) Phase {
	switch p {
	case stream.CatchingUp:
		return CatchingUp
	case stream.Live:
		return Live
	case stream.Reconnecting:
		return Reconnecting
	case stream.Closed:
		return Closed
	}
	return Connecting
}

// WatchPool shows the nodes of a pool.
func (p *Page) WatchPool(from *pool.Pool) { p.Add(nodes{from}) }

type nodes struct{ pool *pool.Pool }

func (n nodes) Collect(_ context.Context, c *Collection) {
	stats := n.pool.Stats()
	for i := range stats.Nodes {
		s := &stats.Nodes[i]
		node := Node{Address: clean(s.Address), Role: s.Leadership.String(), Open: s.Open, Idle: s.Idle, Waiting: s.Waiting}
		if s.Leadership == pool.Leading || s.Address == stats.Leader {
			node.Role = "leader"
		}
		switch {
		case s.LastFailure != nil:
			node.Error = clean(s.LastFailure.Error())
		case s.Silent:
			node.Error = "left the last request unanswered"
		}
		if s.Breaker == pool.BreakerOpen {
			node.Error = "left alone for a moment: " + node.Error
		}
		c.Snapshot.Nodes = append(c.Snapshot.Nodes, node)
	}
}
