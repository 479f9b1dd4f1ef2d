package node

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// BreakerState is whether connections to a node are opened.
type BreakerState uint8

const (
	// BreakerClosed: connections are opened.
	BreakerClosed BreakerState = iota
	// BreakerOpen: none is opened before a pause has passed.
	BreakerOpen
	// BreakerHalfOpen: one is being opened as a trial.
	BreakerHalfOpen
)

const (
	// failureThreshold is how many connections in a row must fail before the
	// next ones are not tried at once.
	failureThreshold = 3
	shortestCooldown = 50 * time.Millisecond
	longestCooldown  = 2 * time.Second
	// cooldownFraction is the part of an outage that a wait may add to it: one
	// hundredth, so that a node is found the sooner the shorter it was away.
	cooldownFraction = 100
	// outageWindow is how long a failure counts as the same outage as the next.
	outageWindow = 10 * time.Second
)

// breaker keeps a node that cannot be connected to from costing every request
// a ConnectTimeout. The breaker only guards dialling: connections that exist
// are used.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	since    time.Time // the first failure of the outage
	latest   time.Time // the last one
	until    time.Time // no trial before
	trial    bool      // one is under way
	slow     bool      // a caller has waited for a connection in vain
	last     error
}

// noteSlow notes that somebody's deadline has passed while a connection was opened.
func (b *breaker) noteSlow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow = true
}

// state returns what Stats shows.
func (b *breaker) state() (BreakerState, int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stateLocked(), b.failures, b.last
}

func (b *breaker) stateLocked() BreakerState {
	switch {
	case b.trial:
		return BreakerHalfOpen
	case b.failures >= failureThreshold:
		return BreakerOpen
	}
	return BreakerClosed
}

// Failing reports whether the last connection could not be opened, or takes longer than
// somebody with other nodes to ask should wait.
func (n *Node) Failing() bool {
	if n.breaker.failing() {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opening > 0 && len(n.open) == 0 && time.Since(n.openingSince) >= slowNodeWait
}

func (b *breaker) failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures > 0 || b.slow
}

// admit asks for leave to dial. trial tells that it is the only dial allowed
// until it is reported.
func (b *breaker) admit(now time.Time) (trial bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < failureThreshold {
		return false, nil
	}
	if wait := b.until.Sub(now); wait > 0 {
		return false, fmt.Errorf("%w: not tried for another %v after %d failures, the last: %w",
			conn.ErrConnect, wait.Round(time.Millisecond), b.failures, b.last)
	}
	if b.trial {
		return false, fmt.Errorf("%w: a first try after %d failures is under way, the last: %w", conn.ErrConnect, b.failures, b.last)
	}
	b.trial = true
	return true, nil
}

// report tells how a dial that was admitted ended. Only a failure of node or
// network counts against the node: neither the caller's leaving, nor refused
// credentials, nor any other answer of a node that is obviously there. report
// returns whether the state has changed, and the new one.
func (b *breaker) report(now time.Time, trial bool, err error, left bool) (changed bool, state BreakerState, failures int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.stateLocked()
	defer func() { state, failures = b.stateLocked(), b.failures; changed = state != before }()
	if trial {
		b.trial = false
	}
	var refusal *msg.ServerError
	switch {
	case err == nil, errors.As(err, &refusal), errors.Is(err, conn.ErrCredentials):
		b.failures, b.slow, b.last = 0, false, nil
	case left:
	default:
		if b.failures == 0 || now.Sub(b.latest) >= outageWindow {
			b.since = now
		}
		b.failures++
		b.last, b.latest = err, now
		b.until = now.Add(cooldown(now.Sub(b.since), rand.Float64()))
	}
	return
}

// cooldown is how long to wait so far into an outage: a share of it within
// bounds, between half and all of that by chance in [0, 1). For the first ten
// seconds that is at most 100 ms, which costs little: a port where nobody
// listens answers at once, and what does not answer is dialled by one at a time.
func cooldown(outage time.Duration, chance float64) time.Duration {
	d := min(max(outage/cooldownFraction, shortestCooldown), longestCooldown)
	return d/2 + time.Duration(chance*float64(d/2))
}
