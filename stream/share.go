package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// ErrLagging ends a shared watch whose subscriber left 10,000 notifications
// untaken, as the node itself would. A subscription reconnects and reconciles;
// others notice nothing.
var ErrLagging = errors.New("stream: the subscriber does not take its notifications: 10000 are waiting")

// ErrShareClosed: the shared source was closed. The error is a [pool.ErrClosed], since
// trying again is useless.
var ErrShareClosed = fmt.Errorf("stream: shared source closed: %w", pool.ErrClosed)

// Shared is a Source whose subscribers share watch connections and reads of
// another one. Make one with [Share], give it to all subscriptions, and close it
// after them. All methods are safe for concurrent use.
//
// Watches of one shard and latency share connections: a subscriber whose filter
// a connection covers joins it at once, otherwise a wider connection is opened
// and all move there, without missing a notification. A filter that covers
// several may let more through than any of them; each subscriber gets only what
// its own one lets through. Subscribers lose a connection together. One that
// does not take its frames loses its place with [ErrLagging]; nobody waits for
// it.
//
// A read of an aggregate from the same version is joined while it is under way,
// and its page is kept for half a second within 4 MiB, but only until something
// newer can have been heard of the aggregate. Pages are shared: what Read
// returns, and so the events of a [Change], must not be written to.
//
// Lists, and whatever is not asked for in the way subscriptions do, go to the
// source as they are.
type Shared struct {
	src    Source
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	hub      *hub
	closed   bool
	cancels  map[uint64]context.CancelFunc
	inFlight map[*flight]struct{}
	timer    *time.Timer
	armed    time.Time
}

// ShareStats counts the work of a Shared. Subscribers, Upstreams and Draining are
// those of this moment.
type ShareStats struct {
	// Subscribers are the watches open here, Upstreams the connections open for
	// them, of which Draining have been replaced and deliver their last notifications.
	Subscribers, Upstreams, Draining int
	// Opened counts connections, Joins subscribers that were put on one, Moves
	// connections replaced by wider ones, Lagged subscribers that did not take
	// their notifications.
	Opened, Joins, Moves, Lagged uint64
	// Notifications counts those the source delivered.
	Notifications uint64
	// Asked counts reads asked for here, Sent those sent to the source; Joined were
	// answered by a read already under way, Kept by a kept page.
	Asked, Sent, Joined, Kept uint64
	// KeptBytes is the size of the kept pages.
	KeptBytes int64
}

// Share returns a source that shares the connections and reads of src among its
// subscribers. Share itself opens nothing.
func Share(src Source) *Shared {
	s := &Shared{src: src, hub: newHub(), cancels: make(map[uint64]context.CancelFunc), inFlight: make(map[*flight]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Unwrap returns the source that is shared.
func (s *Shared) Unwrap() Source { return s.src }

// Stats returns a snapshot.
func (s *Shared) Stats() ShareStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.hub.stats
	stats.Upstreams = len(s.hub.upstreams)
	for _, u := range s.hub.upstreams {
		if u.phase == upDraining {
			stats.Draining++
		}
	}
	stats.KeptBytes = s.hub.pages.bytes
	return stats
}

// Close ends all watches and reads with [ErrShareClosed] and waits until none of its
// goroutines runs, or until ctx ends; it returns ctx's cause then. The source
// stays open. Close may be called again, and waits again.
func (s *Shared) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.hub.end(time.Now(), ErrShareClosed)
		if s.timer != nil {
			s.timer.Stop()
		}
		s.runEffects()
		s.cancel()
		for f := range s.inFlight {
			f.cancel()
		}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stream: closing the shared source: %w", context.Cause(ctx))
	}
}

// Shards returns the number of shards, as the source tells.
func (s *Shared) Shards(ctx context.Context) (uint64, error) { return s.src.Shards(ctx) }

// Leader returns the presumed leader, as the source tells.
func (s *Shared) Leader(ctx context.Context) (string, error) {
	node, err := s.src.Leader(ctx)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hub.noteLeader(node)
	}
	return node, err
}

// Leads asks the source whether a node leads, each time: an answer that is
// shared would be about the past.
func (s *Shared) Leads(ctx context.Context, node string) (pool.Leadership, error) {
	asked := time.Now()
	leads, err := s.src.Leads(ctx, node)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hub.noteAnswer(asked, node, leads)
	}
	return leads, err
}

// ListAggregatesPage returns one page of one shard's aggregates from the source.
func (s *Shared) ListAggregatesPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	page, err := s.src.ListAggregatesPage(ctx, node, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	// The list may show something newer than the pages read before.
	s.hub.pages.invalidateAll()
	return page, err
}

// runEffects carries out the hub's effects and sets the timer. The caller holds the
// lock.
func (s *Shared) runEffects() {
	for _, e := range s.hub.effects {
		if e.request == nil {
			if cut := s.cancels[e.id]; cut != nil {
				cut()
				delete(s.cancels, e.id)
			}
			continue
		}
		ctx, cut := context.WithCancel(s.ctx)
		s.cancels[e.id] = cut
		s.work.Go(func() { s.upstream(ctx, e) })
	}
	clear(s.hub.effects)
	s.hub.effects = s.hub.effects[:0]
	s.arm()
}

// arm sets the timer to the hub's next deadline. A timer set too early stays: when it
// fires, it is set anew. The caller holds the lock.
func (s *Shared) arm() {
	at, _ := s.hub.wakeAt()
	s.armFor(at)
}

// armFor sets the timer to at, unless it is set to fire earlier; zero is never.
func (s *Shared) armFor(at time.Time) {
	if at.IsZero() || s.closed || !s.armed.IsZero() && !at.Before(s.armed) {
		return
	}
	s.armed = at
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(at), s.tick)
		return
	}
	s.timer.Reset(time.Until(at))
}

func (s *Shared) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.armed = time.Time{}
	s.hub.tick(time.Now())
	s.runEffects()
}

// upstream runs one watch connection, and is its only reader.
func (s *Shared) upstream(ctx context.Context, e shareEffect) {
	w, err := s.src.Watch(ctx, e.follower, e.request)
	if err == nil {
		defer func() { _ = w.Close() }()
		s.apply(func(h *hub, now time.Time) { h.opened(now, e.id, w.Node()) })
		for err == nil {
			var frame []msg.Notification
			if frame, err = w.Next(ctx); err == nil {
				s.frame(e.id, frame)
			}
		}
	}
	s.apply(func(h *hub, now time.Time) { h.failed(now, e.id, err) })
}

// frame gives a frame to the hub, and hands it to the members that need no queue for it:
// on this goroutine, since waking another one for each of them costs more.
func (s *Shared) frame(id uint64, frame []msg.Notification) {
	direct := s.route(id, frame)
	if len(direct) == 0 {
		return
	}
	refused := make([]bool, len(direct))
	var room []msg.Notification
	for i, m := range direct {
		theirs := m.filter.pick(frame, room)
		if len(theirs) != len(frame) {
			room = theirs
		}
		refused[i] = !m.listener.receive(theirs, false)
	}
	s.apply(func(h *hub, now time.Time) {
		h.delivered(now, frame, direct, func(i int) bool { return refused[i] })
	})
}

// route gives a frame to the hub and returns the members to hand it to.
func (s *Shared) route(id uint64, frame []msg.Notification) []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.frame(time.Now(), id, frame)
	if len(s.hub.effects) > 0 {
		s.runEffects()
	}
	direct := s.hub.direct
	s.hub.direct = nil
	return direct
}

// apply changes the hub and carries out what follows.
func (s *Shared) apply(change func(h *hub, now time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.hub, time.Now())
	s.runEffects()
}
