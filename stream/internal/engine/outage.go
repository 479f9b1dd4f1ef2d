package engine

import "time"

// outage is the time in which nothing answers that others wait for: a node, or a leader.
type outage struct{ since time.Time }

// failed notes that it could not be asked.
func (o *outage) failed(now time.Time) {
	if o.since.IsZero() {
		o.since = now
	}
}

// over notes an answer, and reports whether it ends an outage that lasted.
func (o *outage) over(now time.Time) bool {
	lasted := !o.since.IsZero() && now.Sub(o.since) >= lasting
	o.since = time.Time{}
	return lasted
}

// answers notes that a node answers, authoritative that it leads. Requests that
// waited only for that, perhaps for long, go on.
func (e *Engine) answers(now time.Time, authoritative bool) {
	over := e.nodeAway.over(now)
	if authoritative && e.leaderAway.over(now) || over {
		e.wakeStalled(now)
	}
}

// stall is retry for a lane that waits because a node could not be asked, or stayed
// silent.
func (e *Engine) stall(now time.Time, l *lane, next read) {
	e.retry(now, l, next)
	e.stalled[l] = struct{}{}
}

// wakeStalled has those lanes look again, and lists go on that failed.
func (e *Engine) wakeStalled(now time.Time) {
	for _, l := range sortedLanes(e.stalled, func(*lane) bool { return true }) {
		e.wake(l)
	}
	for _, sh := range e.shards {
		if l := sh.list; l.active && !l.asked && l.failures > 0 && !l.pace.ready(now) {
			l.pace.until = now
			e.stir(sh)
		}
	}
}
