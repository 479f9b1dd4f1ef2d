package engine

import "time"

// pace spaces the attempts at something that fails. Its backoff starts anew
// only after the success has lasted: a node that accepts and drops
// connections would otherwise be hammered at the first interval for ever.
type pace struct {
	backoff  Backoff
	until    time.Time
	failedAt time.Time
}

// failed notes a failure and returns when to try again.
func (p *pace) failed(now time.Time, newBackoff func() Backoff) time.Time {
	if p.backoff == nil {
		p.backoff = newBackoff()
	}
	p.failedAt = now
	p.until = now.Add(p.backoff.NextBackOff())
	return p.until
}

// succeeded notes a success.
func (p *pace) succeeded(now time.Time, healthy time.Duration) {
	if p.backoff != nil && now.Sub(p.failedAt) >= healthy {
		p.backoff = nil
	}
}

// ready reports whether the wait after the last failure is over.
func (p *pace) ready(now time.Time) bool { return !now.Before(p.until) }
