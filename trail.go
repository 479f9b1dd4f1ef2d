package celeriant

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

// storeInterval is how long a position may wait while items flow.
const storeInterval = time.Second

// count counts handled items, from the observer's goroutine to the producer's.
type count struct {
	n    atomic.Uint64
	wake chan struct{}
}

func newCount() *count { return &count{wake: make(chan struct{}, 1)} }

func (c *count) add() {
	c.n.Add(1)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// wait returns true once n items are handled, false when ctx or stop end first.
func (c *count) wait(ctx context.Context, stop <-chan struct{}, n uint64) bool {
	for c.n.Load() < n {
		select {
		case <-c.wake:
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
	runs   []run
	items  uint64 // sent
	ready  map[msg.Key]checkpoint.Cursor
	stored time.Time
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

// skip notes changes that were filtered out. They wait for the item before
// them: a position that is stored covers everything before it.
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

// entries returns what is ready and forgets it.
func (t *trail) entries() []checkpoint.Entry {
	out := make([]checkpoint.Entry, 0, len(t.ready))
	for key, cursor := range t.ready {
		out = append(out, checkpoint.Entry{Key: key, Cursor: cursor})
	}
	clear(t.ready)
	t.stored = time.Now()
	return out
}

// handledItems is how many of the items sent are known to be handled. When
// nobody counts, an item counts as handled when as many more were taken as the
// channel has room for, and one.
func (f *feeder) handledItems() uint64 {
	if f.handled != nil {
		return f.handled.n.Load()
	}
	held := uint64(cap(f.next)) + 1
	return f.trail.items - min(f.trail.items, held)
}

// overdue stores positions that have waited long enough.
func (f *feeder) overdue() error {
	if f.trail.stored.IsZero() {
		f.trail.stored = time.Now()
	}
	if time.Since(f.trail.stored) < storeInterval {
		return nil
	}
	return f.store(f.ctx)
}

// settle ends a slice: it waits until its items are handled, if anybody tells,
// and stores.
func (f *feeder) settle() error {
	if f.handled != nil && !f.handled.wait(f.ctx, f.source.client.closed, f.trail.items) {
		return f.stopped()
	}
	return f.store(f.ctx)
}

func (f *feeder) store(ctx context.Context) error {
	f.trail.release(f.handledItems())
	if len(f.trail.ready) == 0 {
		return nil
	}
	return f.sub.Commit(ctx, f.trail.entries())
}

// last lets the items in flight be handled, and stores what is left. It has
// little time.
func (f *feeder) last() {
	if f.sub == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), stopTimeout)
	defer cancel()
	if f.handled != nil {
		f.handled.wait(ctx, nil, f.trail.items)
	}
	_ = f.store(ctx) // what is not stored comes again
}
