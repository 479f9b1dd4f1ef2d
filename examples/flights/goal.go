package main

import (
	"context"
	"math"
	"sync"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// goal knows when the program is done: when everything is written, the
// subscription has caught up, and each aircraft is applied up to the version
// of the last batch that was written of it.
type goal struct {
	store checkpoint.Store
	done  chan struct{}

	mu       sync.Mutex
	written  bool
	caughtUp bool
	flights  int // written, or found written
	wanted   map[msg.Key]uint64
	reached  map[msg.Key]uint64
	progress operators.Progress
	finished bool
}

// gone is reached by an aircraft that was deleted: nothing more will come.
const gone = math.MaxUint64

func newGoal(store checkpoint.Store) *goal {
	return &goal{store: store, done: make(chan struct{}), wanted: make(map[msg.Key]uint64), reached: make(map[msg.Key]uint64)}
}

// wrote: a batch is stored at this version.
func (g *goal) wrote(b *batch, version uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flights += b.flights
	if g.reached[b.key] < version {
		g.wanted[b.key] = max(g.wanted[b.key], version)
	}
}

// everythingWritten: no further batch will be.
func (g *goal) everythingWritten() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written = true
	g.check()
}

// applied: a transaction with these changes has committed.
func (g *goal) applied(ctx context.Context, changes []stream.Change, p operators.Progress) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.progress = p
	for i := range changes {
		c := &changes[i]
		switch c.Kind {
		case stream.Batch:
			g.reach(c.Key, c.Batch.Version)
		case stream.Deleted:
			g.reach(c.Key, gone)
		case stream.Reset:
			delete(g.reached, c.Key)
		case stream.CaughtUp:
			// Changes that earlier runs applied are not delivered again. Their effect
			// is in the store, which nobody else changes from the first delivery on.
			if err := g.recall(ctx); err != nil {
				return err
			}
			g.caughtUp = true
		}
	}
	g.check()
	return nil
}

func (g *goal) reach(key msg.Key, version uint64) {
	g.reached[key] = version
	if g.wanted[key] <= version {
		delete(g.wanted, key)
	}
}

// recall reads every stored cursor.
func (g *goal) recall(ctx context.Context) error {
	for e, err := range g.store.Scan(ctx, subscription) {
		if err != nil {
			return err
		}
		version := e.Cursor.Version
		if e.Cursor.Deleted {
			version = gone
		}
		g.reach(e.Key, version)
	}
	return nil
}

func (g *goal) check() {
	if g.written && g.caughtUp && len(g.wanted) == 0 && !g.finished {
		g.finished = true
		close(g.done)
	}
}

// seen returns the flights written and what was applied.
func (g *goal) seen() (flights int, p operators.Progress) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flights, g.progress
}
