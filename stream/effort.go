package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// ReconcileDone is one list of a shard that was read to its end.
type ReconcileDone struct {
	Shard          uint64
	Reason         ReconcileReason
	Pages, Entries int
	// Duration is the time from the first page's request to the last page's answer: while
	// much is to be read, further pages wait.
	Duration time.Duration
}

// ReconcileReason is why a shard is listed.
type ReconcileReason = engine.Reason

// The reasons, whose names in lower case String returns.
const (
	// ReconcileStarted: the shard is watched for the first time.
	ReconcileStarted = engine.Started
	// ReconcileReconnected: a watch was lost, and with it what the node told meanwhile.
	ReconcileReconnected = engine.Reconnected
	// ReconcileMoved: a watch was replaced by one at another node, or of another scope.
	ReconcileMoved = engine.Moved
	// ReconcileGained: partitions were gained.
	ReconcileGained = engine.Gained
	// ReconcileOverflowed: notifications were dropped for want of room.
	ReconcileOverflowed = engine.Overflowed
	// ReconcileDue: the interval of Options.Reconcile is over.
	ReconcileDue = engine.Due
)

// TakeOver is a series of partitions that were gained and have been caught up with.
type TakeOver struct {
	Partitions int
	// Duration is the time from the first claim until the subscription was live.
	Duration time.Duration
}

// reconciling is a list under way.
type reconciling struct {
	began          time.Time
	reason         ReconcileReason
	pages, entries int
}

// reconciles are the lists under way, by shard. The lists are guarded by
// Subscription.step.
type reconciles map[uint64]*reconciling

// asked notes that a page is asked for, the first of a list or a further one. A list that
// begins anew is another one, and a look at what is new is none.
func (r reconciles) asked(c *engine.Command, now time.Time) {
	switch {
	case c.Look:
		delete(r, c.Shard)
	case !c.Cursor.Set:
		r[c.Shard] = &reconciling{began: now, reason: c.Reason}
	}
}

// answered notes a page, and returns what the list has come to if it was the last one.
func (r reconciles) answered(shard uint64, entries int, last bool, now time.Time) (done ReconcileDone, ended bool) {
	l := r[shard]
	if l == nil {
		return done, false
	}
	l.pages++
	l.entries += entries
	if !last {
		return done, false
	}
	delete(r, shard)
	return ReconcileDone{Shard: shard, Reason: l.reason, Pages: l.pages, Entries: l.entries, Duration: now.Sub(l.began)}, true
}

// takingOver are partitions gained since the subscription was live. takingOver is
// guarded by Subscription.mu.
type takingOver struct {
	began      time.Time
	partitions int
}

// gained notes further partitions.
func (t *takingOver) gained(partitions int, now time.Time) {
	if t.partitions == 0 {
		t.began = now
	}
	t.partitions += partitions
}

// live returns what was taken over, if anything, and begins anew.
func (t *takingOver) live(now time.Time) (done TakeOver, ended bool) {
	if t.partitions == 0 {
		return done, false
	}
	done = TakeOver{Partitions: t.partitions, Duration: now.Sub(t.began)}
	*t = takingOver{}
	return done, true
}

// takeOver notes that partitions were gained.
func (s *Subscription) takeOver(partitions int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takingOver.gained(partitions, now)
}
