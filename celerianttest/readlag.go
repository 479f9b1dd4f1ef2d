package celerianttest

import (
	"context"
	"math/rand/v2"
	"time"
)

// readLag holds the commits of a shard that were notified, and that reads do not
// show yet. Its replica's mu guards it.
type readLag struct {
	most   time.Duration
	chance *rand.Rand
	due    []showing // in the order of commits, and of time
	next   *lockedTimer
	done   chan struct{} // closed when more is shown; nil when nobody waits
}

// showing is when the log is shown up to a position.
type showing struct {
	upTo uint64
	at   time.Time
}

// lagOdds: one commit in so many is shown late.
const lagOdds = 4

func newReadLag(r *replica, most time.Duration, chance *rand.Rand) *readLag {
	u := &readLag{most: most, chance: chance}
	u.next = newLockedTimer(&r.mu, r.showDue)
	return u
}

// announce commits the records up to a position, tells the subscribers, and
// makes the records readable, at once or a while later. The caller holds mu.
func (r *replica) announce(upTo uint64) {
	u := r.readLag
	if u == nil {
		r.commit(upTo)
		return
	}
	before := r.shard.Committed()
	r.tell(r.shard.Announce(upTo))
	if r.shard.Committed() == before {
		return
	}
	at := time.Now()
	if u.chance.IntN(lagOdds) == 0 {
		at = at.Add(1 + time.Duration(u.chance.Int64N(int64(u.most))))
	}
	if n := len(u.due); n > 0 && at.Before(u.due[n-1].at) {
		at = u.due[n-1].at
	}
	u.due = append(u.due, showing{upTo, at})
	r.showDue()
}

// showDue shows what is due, and sees to the rest. The caller holds mu.
func (r *replica) showDue() {
	u, now := r.readLag, time.Now()
	for len(u.due) > 0 && !now.Before(u.due[0].at) {
		r.shard.Show(u.due[0].upTo)
		u.due = u.due[1:]
	}
	if len(u.due) > 0 {
		u.next.set(u.due[0].at.Sub(now))
	} else {
		u.next.stop()
		u.due = nil
	}
	if u.done != nil {
		close(u.done)
		u.done = nil
	}
}

// showAll shows everything at once. The caller holds mu.
func (r *replica) showAll() {
	if r.readLag == nil {
		return
	}
	for i := range r.readLag.due {
		r.readLag.due[i].at = time.Time{}
	}
	r.showDue()
}

// showNow is showAll, for a node that ends.
func (r *replica) showNow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.showAll()
}

// awaitShown waits until the log can be read up to a position, or ctx ends.
func (r *replica) awaitShown(ctx context.Context, upTo uint64) {
	if r.readLag == nil {
		return
	}
	for {
		r.mu.Lock()
		if r.shard.Shown() >= upTo {
			r.mu.Unlock()
			return
		}
		if r.readLag.done == nil {
			r.readLag.done = make(chan struct{})
		}
		done := r.readLag.done
		r.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}
