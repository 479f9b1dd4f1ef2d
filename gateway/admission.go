package gateway

import (
	"context"
	"slices"
	"sync"
)

// admission lets a bounded number of subscriptions catch up at a time, in the
// order they came, with a bound for each caller.
type admission struct {
	all, each int

	mu      sync.Mutex
	at      int
	callers map[string]int
	queue   []*ticket
}

// ticket is a place in the queue.
type ticket struct {
	caller   string
	admitted chan struct{}
	given    bool
}

func newAdmission(all, each int) *admission {
	return &admission{all: all, each: each, callers: make(map[string]int)}
}

// enter queues a caller.
func (a *admission) enter(caller string) *ticket {
	t := &ticket{caller: caller, admitted: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, t)
	a.admit()
	return t
}

// admit gives free places to the first in the queue who may have one.
func (a *admission) admit() {
	for a.at < a.all {
		i := slices.IndexFunc(a.queue, func(t *ticket) bool { return a.callers[t.caller] < a.each })
		if i < 0 {
			return
		}
		t := a.queue[i]
		a.queue = slices.Delete(a.queue, i, i+1)
		t.given = true
		a.at++
		a.callers[t.caller]++
		close(t.admitted)
	}
}

// position is how many wait in front of a ticket.
func (a *admission) position(t *ticket) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, slices.Index(a.queue, t))
}

// leave gives the place back, or leaves the queue. Leaving again does nothing.
func (a *admission) leave(t *ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !t.given {
		a.queue = slices.DeleteFunc(a.queue, func(other *ticket) bool { return other == t })
		return
	}
	t.given = false
	a.at--
	if a.callers[t.caller]--; a.callers[t.caller] == 0 {
		delete(a.callers, t.caller)
	}
	a.admit()
}

// yield gives a place back that was given; a ticket that waits keeps its turn.
func (a *admission) yield(t *ticket) {
	a.mu.Lock()
	given := t.given
	a.mu.Unlock()
	if given {
		a.leave(t)
	}
}

// wait waits for the place.
func (t *ticket) wait(ctx context.Context) error {
	select {
	case <-t.admitted:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
