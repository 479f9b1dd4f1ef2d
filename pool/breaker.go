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
	shortestCooling = 100 * time.Millisecond
	longestCooling  = 2 * time.Second
)

// breaker keeps a node that cannot be connected to from costing every request
// a ConnectTimeout. It only guards dialling: connections that exist are used.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // no trial before
	trial    bool      // one is under way
	last     error
}

// admit asks for leave to dial.
func (b *breaker) admit(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakerPatience {
		return nil
	}
	if wait := b.until.Sub(now); wait > 0 {
		return fmt.Errorf("%w: not tried for another %v after %d failures, the last: %w",
			ErrConnect, wait.Round(time.Millisecond), b.failures, b.last)
	}
	if b.trial {
		return fmt.Errorf("%w: a first try after %d failures is under way, the last: %w", ErrConnect, b.failures, b.last)
	}
	b.trial = true
	return nil
}

// report tells how dialling ended. Only a failure of node or network counts
// against the node: neither the caller's leaving, nor refused credentials, nor
// any other answer of a node that is obviously there.
func (b *breaker) report(now time.Time, err error, left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	var refusal *msg.ServerError
	switch {
	case err == nil, errors.As(err, &refusal), errors.Is(err, ErrCredentials):
		b.failures, b.last = 0, nil
	case left:
	default:
		b.failures++
		b.last = err
		b.until = now.Add(cooling(b.failures, rand.Float64()))
	}
}

// cooling is how long to wait after so many failures: doubling, and between
// half and all of it by chance in [0, 1).
func cooling(failures int, chance float64) time.Duration {
	if failures < breakerPatience {
		return 0
	}
	d := longestCooling
	if doublings := failures - breakerPatience; doublings < 5 {
		d = min(shortestCooling<<doublings, longestCooling)
	}
	return d/2 + time.Duration(chance*float64(d/2))
}

// reach is connect behind the breaker.
func (n *node) reach(ctx, life context.Context) (*conn, error) {
	if err := n.breaker.admit(time.Now()); err != nil {
		return nil, err
	}
	began := time.Now()
	c, err := n.connect(ctx, life)
	n.connected(began, err)
	n.breaker.report(time.Now(), err, ctx.Err() != nil || life.Err() != nil)
	return c, err
}
