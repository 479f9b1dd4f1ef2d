package operators

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// hanging is how long a handler is seen at one task before a line of the log tells of it,
// and how often it is told again.
const hanging = 30 * time.Second

// advance tells whether a worker comes on. No clock is asked for it, which would cost as
// much as the rest of a step: the keeper looks now and then.
type advance struct {
	turn    uint64 // grows with each task
	key     msg.Key
	version uint64 // of the task's first change

	// The keeper's: the turn that it saw, since when, and when it told last.
	seen        uint64
	since, told time.Time
}

// works makes a worker's job known until the function that it returns is called.
func (r *runner) works(j *job) (over func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, j)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.jobs = slices.DeleteFunc(r.jobs, func(other *job) bool { return other == j })
	}
}

// tellHangingLocked has the log name the handlers that are still at the task that they
// were seen at 30 s ago, and returns when to look again.
func (r *runner) tellHangingLocked(now time.Time) (next time.Time) {
	for _, j := range r.jobs {
		switch {
		case j.open && j.seen == j.turn:
			if now.Sub(j.told) < hanging {
				break
			}
			j.told = now
			name, key, version, since := r.sub.Name(), j.key, j.version, j.since
			r.calls = append(r.calls, func() {
				r.logger.Warn("handler does not return", "subscription", name, "key", key, "version", version, "since", since)
			})
		case j.open:
			j.seen, j.since, j.told = j.turn, now, now
		}
	}
	return now.Add(hanging)
}
