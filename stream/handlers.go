package stream

import (
	"context"
	"sync"
)

// Handlers are the loops that handle the changes of a subscription: views,
// operators, loops of the user's own. Close waits until they have stored what was
// handled and have ended, but never for a loop that it is called from. The zero
// value is ready; all methods are safe for concurrent use.
type Handlers struct {
	mu     sync.Mutex
	active map[*Handling]struct{}
}

// Handling is one loop at work.
type Handling struct {
	of    *Handlers
	store func()

	main uint64 // the goroutine of the loop
	// stored, waiting and ended are closed when that is so: waiting means that one of
	// its goroutines waits for the end of all, after what was handled is stored.
	stored, waiting, ended signal

	mu     sync.Mutex
	joined map[uint64]int // other goroutines that run handlers for it
}

// signal is a channel that is closed once.
type signal struct {
	c    chan struct{}
	once *sync.Once
}

func newSignal() signal { return signal{make(chan struct{}), new(sync.Once)} }

func (s signal) set() { s.once.Do(func() { close(s.c) }) }

// Begin says that the calling goroutine handles changes from now on, until End.
// When it calls Close itself, store is called there: it stores what was handled
// before. A loop whose handlers run on other goroutines calls Stored once no
// handler begins any more and what was handled is stored.
func (h *Handlers) Begin(store func()) *Handling {
	g := &Handling{of: h, store: store, main: goroutineID(), stored: newSignal(), waiting: newSignal(), ended: newSignal()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active == nil {
		h.active = make(map[*Handling]struct{})
	}
	h.active[g] = struct{}{}
	return g
}

// Join says that the calling goroutine runs handlers for the loop, until it calls
// leave.
func (g *Handling) Join() (leave func()) {
	me := goroutineID()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.joined == nil {
		g.joined = make(map[uint64]int)
	}
	g.joined[me]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.joined[me]--; g.joined[me] == 0 {
			delete(g.joined, me)
		}
	}
}

// Stored says that no handler begins any more and what was handled so far is
// stored: a Close called from inside a handler waits no longer.
func (g *Handling) Stored() { g.stored.set() }

// End says that the loop has ended.
func (g *Handling) End() {
	g.of.mu.Lock()
	delete(g.of.active, g)
	g.of.mu.Unlock()
	g.ended.set()
}

// runs reports whether the goroutine is one of the loop's.
func (g *Handling) runs(goroutine uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.main == goroutine || g.joined[goroutine] > 0
}

// Inside reports whether the calling goroutine is one of a loop at work.
func (h *Handlers) Inside() bool {
	me := goroutineID()
	h.mu.Lock()
	defer h.mu.Unlock()
	for g := range h.active {
		if g.runs(me) {
			return true
		}
	}
	return false
}

// Wait waits until all loops at work have ended, or until ctx ends, and returns
// ctx's cause then. For a loop that calls it, or one of whose handlers does, it only
// waits until what was handled before is stored; so it does for a loop that waits
// here itself.
func (h *Handlers) Wait(ctx context.Context) error {
	me := goroutineID()
	var own, others []*Handling
	h.mu.Lock()
	for g := range h.active {
		if g.runs(me) {
			own = append(own, g)
		} else {
			others = append(others, g)
		}
	}
	h.mu.Unlock()
	for _, g := range own {
		if g.main == me {
			g.store()
			g.stored.set()
		}
		if err := wait(ctx, g.stored, g.ended); err != nil {
			return err
		}
		g.waiting.set()
	}
	for _, g := range others {
		if err := wait(ctx, g.waiting, g.ended); err != nil {
			return err
		}
	}
	return nil
}

// wait waits for one of two signals, or ctx.
func wait(ctx context.Context, a, b signal) error {
	select {
	case <-a.c:
	case <-b.c:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
