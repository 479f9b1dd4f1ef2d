package stream_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// crowd is a store of very many aggregates that takes no memory: what it
// answers is made up when it is asked. Each aggregate has one batch.
type crowd struct {
	shards, each int // aggregates of a shard
	page         int
	batch        msg.Batch
	lists, reads atomic.Int64
	// halt holds up answers.
	halt sync.RWMutex
	// hints are sent as notifications, a frame at a time, to the watch of shard 0.
	hints chan []msg.Notification
}

func newCrowd(shards, each int) *crowd {
	return &crowd{
		shards: shards, each: each, page: 2000, hints: make(chan []msg.Notification),
		batch: msg.Batch{Version: 1, ServerTimestamp: 1, Events: []msg.Event{{EventSeq: 1, Major: 1, Value: make([]byte, 200)}}},
	}
}

func (c *crowd) key(shard, n int) msg.Key {
	return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64s(uint64(shard), uint64(n))}
}

func (c *crowd) Shards(context.Context) (uint64, error)                 { return uint64(c.shards), nil }
func (c *crowd) Leader(context.Context) (string, error)                 { return "crowd:1", nil }
func (c *crowd) Leads(context.Context, string) (pool.Leadership, error) { return pool.Leading, nil }
func (c *crowd) Read(_ context.Context, _ string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	c.halt.RLock()
	defer c.halt.RUnlock()
	c.reads.Add(1)
	return &msg.ReadResponse{Batches: []msg.Batch{c.batch}}, nil
}

func (c *crowd) ListAggregatesPage(_ context.Context, _ string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	c.halt.RLock()
	defer c.halt.RUnlock()
	c.lists.Add(1)
	from := int(req.Cursor.Or(0))
	to := min(from+c.page, c.each)
	page := &msg.ListAggregatesResponse{Aggregates: make([]msg.AggregateItem, 0, to-from)}
	for n := from; n < to; n++ {
		page.Aggregates = append(page.Aggregates, msg.AggregateItem{
			Key: c.key(int(req.Shard), n), BatchCount: 1, MinVersion: 1, MaxVersion: 1, MaxServerTimestamp: 1,
		})
	}
	if to < c.each {
		page.NextCursor = msg.Some(uint64(to))
	}
	return page, nil
}

func (c *crowd) Watch(_ context.Context, _ bool, req *msg.WatchRequest) (stream.Watch, error) {
	w := &crowdWatch{beat: time.NewTicker(5 * time.Second), closed: make(chan struct{})}
	if req.Shard.Value == 0 {
		w.hints = c.hints
	}
	return w, nil
}

type crowdWatch struct {
	beat   *time.Ticker
	hints  chan []msg.Notification
	closed chan struct{}
}

func (w *crowdWatch) Next(ctx context.Context) ([]msg.Notification, error) {
	select {
	case frame := <-w.hints:
		return frame, nil
	case <-w.beat.C:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (w *crowdWatch) Close() error { w.beat.Stop(); return nil }
func (w *crowdWatch) Node() string { return "crowd:1" }

// inStep is a store whose cursors are all in step with the crowd, and take no
// memory either.
type inStep struct {
	checkpoint.Store
	cursor checkpoint.Cursor
}

func (s inStep) Load(_ context.Context, _ string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	cursors := make([]checkpoint.Cursor, len(keys))
	for i := range cursors {
		cursors[i] = s.cursor
	}
	return cursors, nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million aggregates and a consumer that takes nothing: what is held is
// bounded by the options, while the lists are gone through and while every
// aggregate is notified.
//
//covers:g14 slow
func TestMillionAggregatesStaySmall(t *testing.T) {
	const bound = 64 << 20
	aggregates := 1_000_000
	if testing.Short() {
		aggregates = 200_000
	}
	for _, inSync := range []bool{false, true} {
		t.Run(fmt.Sprint("in step ", inSync), func(t *testing.T) {
			c := newCrowd(1, aggregates)
			var store checkpoint.Store = checkpoint.NewMemory()
			if inSync {
				store = inStep{store, checkpoint.Cursor{Version: 1, Anchor: checkpoint.AnchorOf(&c.batch)}}
			}
			before := heap()
			s, err := stream.Open(t.Context(), c, stream.Everything(), stream.Options{Name: "crowd", Store: store})
			if err != nil {
				t.Fatal(err)
			}
			defer closeNow(t, s)
			peak := uint64(0)
			watchHeap := func() {
				// Memory thrown away while the heap is measured would count as held.
				c.halt.Lock()
				defer c.halt.Unlock()
				if h := heap(); h > before {
					peak = max(peak, h-before)
				}
			}
			for quiet, last := 0, int64(-1); quiet < 3; time.Sleep(20 * time.Millisecond) {
				work := c.lists.Load() + c.reads.Load()
				if work == last {
					quiet++
				} else {
					quiet = 0
				}
				last = work
				watchHeap()
			}
			t.Logf("%d list pages, %d reads, %v; peak %.1f MiB", c.lists.Load(), c.reads.Load(), s.State(), float64(peak)/(1<<20))
			for n := 0; n < c.each; n += 1000 {
				frame := make([]msg.Notification, 1000)
				for i := range frame {
					frame[i] = msg.Notification{Key: c.key(0, n+i), Operation: msg.OpWrite, From: msg.Some(uint64(2)), To: msg.Some(uint64(2))}
				}
				c.hints <- frame
			}
			watchHeap()
			t.Logf("after as many notifications %+v; peak %.1f MiB", s.Stats().Dirty, float64(peak)/(1<<20))
			if peak > bound {
				t.Errorf("%.1f MiB were held, the bound is %d MiB", float64(peak)/(1<<20), bound>>20)
			}
		})
	}
}

// At rest nothing is held for an aggregate: 256,000 that are in step take less
// than four bytes each, all else included.
func TestNothingIsHeldAtRest(t *testing.T) {
	c := newCrowd(64, 4000)
	store := inStep{checkpoint.NewMemory(), checkpoint.Cursor{Version: 1, Anchor: checkpoint.AnchorOf(&c.batch)}}
	before := heap()
	s, err := stream.Open(t.Context(), c, stream.Everything(), stream.Options{Name: "rest", Store: store})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	until(t, s, caughtUp)
	var held int64
	// Memory used for catching up is released a little later.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if held = int64(heap()) - int64(before); held <= 1_000_000 || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%d bytes are held; %+v", held, s.Stats())
	if c.reads.Load() != 0 || held > 1_000_000 {
		t.Errorf("%d reads, %d bytes are held", c.reads.Load(), held)
	}
}
