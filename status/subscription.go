package status

import (
	"context"
	"errors"
	"sync"
	"time"

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
	if w, ok := s.from.(interface{ Watches() []stream.Watched }); ok {
		f.watched(w.Watches())
	}
	c.Facts = append(c.Facts, f)
	if o, ok := s.from.(interface{ Owned() []uint32 }); ok {
		if c.owned == nil {
			c.owned = make(map[string][]uint32)
		}
		c.owned[f.Name] = append(c.owned[f.Name], o.Owned()...)
	}
	if r, ok := s.from.(interface{ Rebuild() (stream.Rebuild, bool) }); ok {
		if rebuild, is := r.Rebuild(); is {
			c.Snapshot.Rebuilds = append(c.Snapshot.Rebuilds, rebuildOf(f.Name, &rebuild))
		}
	}
}

// mostShards bounds the watches that a page shows of one consumer.
const mostShards = 64

// watched notes the watches, and which follower lags.
func (f *Facts) watched(watches []stream.Watched) {
	for i := range watches {
		w := &watches[i]
		shard := Shard{Shard: w.Shard, Node: clean(w.Node), Heartbeat: w.Heard.UTC(), Opened: w.Opened}
		switch {
		case w.Leads:
			shard.Role = "leader"
		case f.Lag > 0:
			f.Follower = w.Node
		}
		if i < mostShards {
			f.Shards = append(f.Shards, shard)
		}
	}
}

func rebuildOf(name string, r *stream.Rebuild) Rebuild {
	out := Rebuild{Name: name + ", after " + r.From, State: string(r.State), Done: r.Progress.Handled}
	if left := r.Progress.Versions; left > out.Done {
		out.Remaining = left - out.Done
	}
	if r.Progress.Rate > 0 {
		out.Estimate = time.Duration(float64(out.Remaining) / r.Progress.Rate * float64(time.Second))
	}
	return out
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
		Buffer:        s.Buffer,
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
