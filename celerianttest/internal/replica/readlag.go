package replica

import (
	"context"
	"math/rand/v2"
	"time"
)

// readLag holds the commits of a shard that were notified, and that reads do not
// show yet. Its replica's Mu guards it.
type readLag struct {
	most   time.Duration
	chance *rand.Rand
	due    []showing // in the order of commits, and of time
	next   *Timer
	done   chan struct{} // closed when more is shown; nil when nobody waits
}

// showing is when the log is shown up to a position.
type showing struct {
	upTo uint64
	at   time.Time
}

// lagOdds: one commit in so many is shown late.
const lagOdds = 4

// NewReadLag returns a lag of at most most for a replica.
func NewReadLag(r *Replica, most time.Duration, chance *rand.Rand) *readLag {
	u := &readLag{most: most, chance: chance}
	u.next = NewTimer(&r.Mu, r.showDue)
	return u
}

// Announce commits the records up to a position, tells the subscribers, and
// makes the records readable, at once or a while later. The caller holds Mu.
func (r *Replica) Announce(upTo uint64) {
	u := r.ReadLag
	if u == nil {
		r.Commit(upTo)
		return
	}
	before := r.Shard.Committed()
	r.tell(r.Shard.Announce(upTo))
	if r.Shard.Committed() == before {
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

// showDue shows what is due, and sees to the rest. The caller holds Mu.
func (r *Replica) showDue() {
	u, now := r.ReadLag, time.Now()
	for len(u.due) > 0 && !now.Before(u.due[0].at) {
		r.Shard.Show(u.due[0].upTo)
		u.due = u.due[1:]
	}
	if len(u.due) > 0 {
		u.next.Set(u.due[0].at.Sub(now))
	} else {
		u.next.Stop()
		u.due = nil
	}
	if u.done != nil {
		close(u.done)
		u.done = nil
	}
}

// showAll shows everything at once. The caller holds Mu.
func (r *Replica) showAll() {
	if r.ReadLag == nil {
		return
	}
	for i := range r.ReadLag.due {
		r.ReadLag.due[i].at = time.Time{}
	}
	r.showDue()
}

// ShowNow is showAll, for a node that ends.
func (r *Replica) ShowNow() {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	r.showAll()
}

// awaitShown waits until the log can be read up to a position, or ctx ends.
func (r *Replica) awaitShown(ctx context.Context, upTo uint64) {
	if r.ReadLag == nil {
		return
	}
	for {
		r.Mu.Lock()
		if r.Shard.Shown() >= upTo {
			r.Mu.Unlock()
			return
		}
		if r.ReadLag.done == nil {
			r.ReadLag.done = make(chan struct{})
		}
		done := r.ReadLag.done
		r.Mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}
