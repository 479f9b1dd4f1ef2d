package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// breakerPatience is how many connections in a row must fail before the
	// next ones are not tried at once.
	breakerPatience = 3
	shortestCooling = 50 * time.Millisecond
	longestCooling  = 2 * time.Second
	// coolingShare is the part of an outage that a wait may add to it: one
	// hundredth, so that a node is found the sooner the shorter it was away.
	coolingShare = 100
	// outageMemory is how long a failure counts as the same outage as the next.
	outageMemory = 10 * time.Second
)

// breaker keeps a node that cannot be connected to from costing every request
// a ConnectTimeout. It only guards dialling: connections that exist are used.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	since    time.Time // the first failure of the outage
	latest   time.Time // the last one
	until    time.Time // no trial before
	trial    bool      // one is under way
	last     error
}

// failing reports whether the last dial has failed.
func (b *breaker) failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures > 0
}

// admit asks for leave to dial. trial tells that it is the only dial allowed
// until it is reported.
func (b *breaker) admit(now time.Time) (trial bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakerPatience {
		return false, nil
	}
	if wait := b.until.Sub(now); wait > 0 {
		return false, fmt.Errorf("%w: not tried for another %v after %d failures, the last: %w",
			ErrConnect, wait.Round(time.Millisecond), b.failures, b.last)
	}
	if b.trial {
		return false, fmt.Errorf("%w: a first try after %d failures is under way, the last: %w", ErrConnect, b.failures, b.last)
	}
	b.trial = true
	return true, nil
}

// report tells how a dial that was admitted ended. Only a failure of node or
// network counts against the node: neither the caller's leaving, nor refused
// credentials, nor any other answer of a node that is obviously there.
func (b *breaker) report(now time.Time, trial bool, err error, left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if trial {
		b.trial = false
	}
	var refusal *msg.ServerError
	switch {
	case err == nil, errors.As(err, &refusal), errors.Is(err, ErrCredentials):
		b.failures, b.last = 0, nil
	case left:
	default:
		if b.failures == 0 || now.Sub(b.latest) >= outageMemory {
			b.since = now
		}
		b.failures++
		b.last, b.latest = err, now
		b.until = now.Add(cooling(now.Sub(b.since), rand.Float64()))
	}
}

// cooling is how long to wait so far into an outage: a share of it within
// bounds, between half and all of that by chance in [0, 1). For the first ten
// seconds that is at most 100 ms, which costs little: a port where nobody
// listens answers at once, and what does not answer is dialled by one at a time.
func cooling(outage time.Duration, chance float64) time.Duration {
	d := min(max(outage/coolingShare, shortestCooling), longestCooling)
	return d/2 + time.Duration(chance*float64(d/2))
}

// reach is connect behind the breaker.
func (n *node) reach(ctx, life context.Context) (*conn, error) {
	trial, err := n.breaker.admit(time.Now())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	c, err := n.connect(ctx, life)
	n.connected(began, err)
	n.breaker.report(time.Now(), trial, err, ctx.Err() != nil || life.Err() != nil)
	return c, err
}
