package celeriant

import (
	"context"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// storeInterval is how long a position may wait while items flow, or a handler works.
const storeInterval = time.Second

// count counts handled items, from the observer's goroutine to the producer's, and
// lets the producer have no further one begin.
type count struct {
	n    atomic.Uint64
	wake chan struct{}
	// broken is closed when a handler has panicked or ended its goroutine, which err
	// tells.
	broken chan struct{}

	mu   sync.Mutex
	work *stream.Handling // the observer; joined by the handlers' goroutine
	busy bool
	over bool // no further handler begins
	err  error
}

func newCount() *count { return &count{wake: make(chan struct{}, 1), broken: make(chan struct{})} }

// begin says whose handlers are counted.
func (c *count) begin(work *stream.Handling) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work = work
}

// handle runs a handler, unless it is over.
func (c *count) handle(handler func()) {
	work, ok := c.enter()
	if !ok {
		return
	}
	// All items come on one goroutine, rxgo's, which goes with the observer.
	if c.n.Load() == 0 {
		work.Join()
	}
	returned := false
	defer func() {
		var err error
		if value := recover(); value != nil {
			err = &stream.PanicError{Value: value, Stack: debug.Stack()}
		} else if !returned {
			err = errExited
		}
		c.leave(err)
	}()
	handler()
	returned = true
}

func (c *count) enter() (work *stream.Handling, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.work == nil {
		return nil, false
	}
	c.busy = true
	return c.work, true
}

func (c *count) leave(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if err == nil {
		c.n.Add(1)
	} else if c.err == nil {
		c.over, c.err = true, err
		close(c.broken)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// stop has no further handler begin, and reports whether one is at work.
func (c *count) stop() (busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return c.busy
}

// rest waits until no handler is at work, or ctx ends.
func (c *count) rest(ctx context.Context) {
	for c.stop() {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
	}
}

// failure is why a handler did not return.
func (c *count) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// wait returns true once n items are handled, false when a handler broke, or ctx or
// stop end first.
func (c *count) wait(ctx context.Context, stop <-chan struct{}, n uint64) bool {
	for c.n.Load() < n {
		select {
		case <-c.wake:
		case <-c.broken:
			return false
		case <-ctx.Done():
			return false
		case <-stop:
			return false
		}
	}
	return true
}

// trail is the order in which changes left: sent as items, or filtered out. A
// position may be stored once its item and all before it are handled.
type trail struct {
	runs  []run
	items uint64 // sent
	ready map[msg.Key]checkpoint.Cursor
}

// run is one item and the changes filtered out since. Filtered ones are kept by
// aggregate, so that a filter that matches nothing costs no more than that.
type run struct {
	item    uint64 // its number, from 1; 0 before the first
	own     []operators.Mark
	skipped map[msg.Key]checkpoint.Cursor
}

func (t *trail) sent(marks []operators.Mark) {
	t.items++
	t.runs = append(t.runs, run{item: t.items, own: marks})
}

// skip notes changes that were filtered out. The changes wait for the item
// before them: a position that is stored covers everything before it.
func (t *trail) skip(marks []operators.Mark) {
	if len(t.runs) == 0 {
		t.runs = append(t.runs, run{item: t.items})
	}
	last := &t.runs[len(t.runs)-1]
	if last.skipped == nil {
		last.skipped = make(map[msg.Key]checkpoint.Cursor)
	}
	note(last.skipped, marks)
}

func note(into map[msg.Key]checkpoint.Cursor, marks []operators.Mark) {
	for i := range marks {
		// Kinds that move no position have none.
		if m := &marks[i]; !m.Cursor.IsZero() {
			into[m.Key] = m.Cursor
		}
	}
}

// release makes ready what belongs to the first handled items.
func (t *trail) release(handled uint64) {
	if t.ready == nil {
		t.ready = make(map[msg.Key]checkpoint.Cursor)
	}
	n := 0
	for ; n < len(t.runs) && t.runs[n].item <= handled; n++ {
		note(t.ready, t.runs[n].own)
		maps.Copy(t.ready, t.runs[n].skipped)
	}
	t.runs = slices.Delete(t.runs, 0, n)
}

// waits reports whether some position is not stored.
func (t *trail) waits() bool { return len(t.runs) > 0 || len(t.ready) > 0 }

// entries returns what is ready, which stays until it is stored.
func (t *trail) entries() []checkpoint.Entry {
	out := make([]checkpoint.Entry, 0, len(t.ready))
	for key, cursor := range t.ready {
		out = append(out, checkpoint.Entry{Key: key, Cursor: cursor})
	}
	return out
}

// stored forgets what is stored.
func (t *trail) stored(entries []checkpoint.Entry) {
	for _, e := range entries {
		if t.ready[e.Key] == e.Cursor {
			delete(t.ready, e.Key)
		}
	}
}
