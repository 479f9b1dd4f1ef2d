package operators_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// Workers handle different aggregates at once, and each aggregate in order, one
// change at a time.
func TestWorkersKeepTheOrderOfAnAggregate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const aggregates, batches = 16, 10
		w := newWorld(t, checkpoint.NewMemory())
		for range batches {
			for key := range uint64(aggregates) {
				w.write(key+1, "x")
			}
		}
		var mu sync.Mutex
		busy, most := map[string]bool{}, 0
		last := map[string]uint64{}
		start := time.Now()
		c := w.consume(func(_ context.Context, c stream.Change) error {
			if c.Kind != stream.Batch {
				return nil
			}
			key := c.Key.String()
			mu.Lock()
			if busy[key] || c.Batch.Version != last[key]+1 {
				t.Errorf("%v while busy %v, after %d", &c, busy[key], last[key])
			}
			busy[key], last[key] = true, c.Batch.Version
			most = max(most, len(busy))
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			delete(busy, key)
			mu.Unlock()
			return nil
		}, operators.WithWorkers(8))
		time.Sleep(time.Minute)
		synctest.Wait()
		if most != 8 {
			t.Errorf("at most %d at once", most)
		}
		for key := range uint64(aggregates) {
			if w.version(key+1) != batches {
				t.Errorf("aggregate %d stored at %d after %v", key+1, w.version(key+1), time.Since(start))
			}
		}
		c.stop()
	})
}

// An aggregate with many batches does not keep the others waiting.
func TestManyBatchesOfOneDoNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		for range 200 {
			w.write(1, "x")
		}
		for key := range uint64(10) {
			w.write(key+2, "x")
		}
		var took time.Duration
		others, start := 0, time.Now()
		c := w.consume(func(_ context.Context, c stream.Change) error {
			time.Sleep(100 * time.Millisecond)
			if c.Kind == stream.Batch && c.Key != keyOf(1) {
				if others++; others == 10 {
					took = time.Since(start)
				}
			}
			return nil
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if took == 0 || took > 3*time.Second {
			t.Errorf("the others took %v", took)
		}
		c.stop()
	})
}

// A handler that ends its goroutine has failed like one that returns an error.
func TestAWorkerWhoseGoroutineEndsIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		for key := range uint64(4) {
			w.write(key+1, "x")
			w.write(key+1, "y")
		}
		var mu sync.Mutex
		exits := 3
		h := &handling{}
		c := w.consume(func(ctx context.Context, c stream.Change) error {
			mu.Lock()
			exit := exits > 0 && c.Kind == stream.Batch
			if exit {
				exits--
			}
			mu.Unlock()
			if exit {
				runtime.Goexit()
			}
			return h.handle(ctx, c)
		}, operators.WithWorkers(2))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for key := range uint64(4) {
			if got := h.of(key + 1); !slices.Equal(got, []string{fmt.Sprintf("%d.1", key+1), fmt.Sprintf("%d.2", key+1)}) {
				t.Errorf("of %d: %v", key+1, got)
			}
		}
		c.stop()
	})
}

// After the end no worker begins anything, what was handled is stored, and handlers
// in flight have time to finish.
func TestWorkersStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		for key := range uint64(20) {
			w.write(key+1, "x")
		}
		var mu sync.Mutex
		begun := 0
		c := w.consume(func(context.Context, stream.Change) error {
			mu.Lock()
			begun++
			mu.Unlock()
			time.Sleep(2 * time.Second)
			return nil
		}, operators.WithWorkers(4))
		if err := c.stop(); !errors.Is(err, errStop) {
			t.Error(err)
		}
		stored := 0
		for key := range uint64(20) {
			stored += int(w.version(key + 1))
		}
		if begun != 4 || stored != 4 {
			t.Errorf("%d begun, %d stored", begun, stored)
		}
	})
}

// A handler may close the subscription that it handles for, with any number of
// workers: the others' work is stored, and nothing waits for itself.
func TestCloseInsideAHandler(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, checkpoint.NewMemory())
			for range 3 {
				w.write(1, "x")
			}
			src := &opened{world: w}
			handled := 0
			start := time.Now()
			err := operators.ForEach(t.Context(), src, func(ctx context.Context, c stream.Change) error {
				if handled++; handled == 2 {
					if err := src.consumer.Close(context.Background()); err != nil {
						t.Error(err)
					}
				}
				return nil
			}, operators.WithWorkers(workers))
			if !errors.Is(err, stream.ErrClosed) || handled != 2 || w.version(1) != 2 || time.Since(start) > time.Second {
				t.Errorf("%d workers: %v, handled %d, stored %d, after %v", workers, err, handled, w.version(1), time.Since(start))
			}
		})
	}
}

// An observer of the progress may close the subscription, and then no handler begins any
// more; nothing waits for itself.
func TestCloseInsideTheProgress(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, checkpoint.NewMemory())
			for range 3 {
				w.write(1, "x")
			}
			src := &opened{world: w}
			start := time.Now()
			var closed sync.Once
			reports, changes := 0, uint64(0)
			err := operators.ForEach(t.Context(), src, func(context.Context, stream.Change) error { return nil },
				operators.WithWorkers(workers), operators.WithProgress(func(p operators.Progress) {
					if p.Changes < changes {
						t.Errorf("report of %d changes after one of %d", p.Changes, changes)
					}
					reports, changes = reports+1, p.Changes
					closed.Do(func() {
						if err := src.consumer.Close(context.Background()); err != nil {
							t.Error(err)
						}
					})
				}))
			if !errors.Is(err, stream.ErrClosed) || reports == 0 || w.version(1) != 3 || time.Since(start) > 3*time.Second {
				t.Errorf("%d workers: %v, %d reports, stored %d, after %v", workers, err, reports, w.version(1), time.Since(start))
			}
		})
	}
}

// The context of a handler tells the claim, as a fencing token.
func TestHandlersKnowTheirClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "x")
		var epochs []uint64
		for range 2 {
			c := w.consume(func(ctx context.Context, c stream.Change) error {
				owner, ok := checkpoint.OwnerFromContext(ctx)
				if !ok || owner.Name != "test" {
					t.Errorf("claim %+v, %v", owner, ok)
				}
				if c.Kind == stream.CaughtUp {
					epochs = append(epochs, owner.Epoch)
				}
				return nil
			})
			c.stop()
		}
		if len(epochs) != 2 || epochs[1] <= epochs[0] {
			t.Errorf("epochs %v", epochs)
		}
	})
}

func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		name := func(n string) operators.Middleware {
			return func(next operators.Handler) operators.Handler {
				return func(ctx context.Context, c stream.Change) error {
					order = append(order, n)
					return next(ctx, c)
				}
			}
		}
		h := operators.Chain(func(ctx context.Context, c stream.Change) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, name("outer"), operators.OnlyKinds(stream.Batch), operators.Timeout(time.Second), name("inner"))
		if err := h(t.Context(), stream.Change{Kind: stream.CaughtUp}); err != nil {
			t.Error(err)
		}
		start := time.Now()
		err := h(t.Context(), stream.Change{Kind: stream.Batch})
		var late *operators.TimeoutError
		if !errors.As(err, &late) || late.Limit != time.Second || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if !slices.Equal(order, []string{"outer", "outer", "inner"}) {
			t.Errorf("order %v", order)
		}
	})
}

type limiter struct{ waits, fail int }

func (l *limiter) Wait(context.Context) error {
	l.waits++
	if l.waits == l.fail {
		return errPoison
	}
	return nil
}

func TestLimit(t *testing.T) {
	l := &limiter{fail: 2}
	calls := 0
	h := operators.Chain(func(context.Context, stream.Change) error { calls++; return nil }, operators.Limit(l))
	for range 3 {
		_ = h(t.Context(), stream.Change{})
	}
	if calls != 2 || l.waits != 3 {
		t.Errorf("%d calls, %d waits", calls, l.waits)
	}
}
