package celeriant_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// observer gathers what ForEach tells.
type observer struct {
	mu     sync.Mutex
	seen   []string
	failed error
	handle func(any)
}

func (o *observer) next(v any) {
	o.mu.Lock()
	if s, ok := v.(string); ok {
		o.seen = append(o.seen, s)
	} else {
		o.seen = append(o.seen, describe(v.(*celeriant.Change)))
	}
	o.mu.Unlock()
	if o.handle != nil {
		o.handle(v)
	}
}

func (o *observer) fail(err error) { o.failed = err }
func (o *observer) done()          {}

func (o *observer) got() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

func payload(_ context.Context, v any) (any, error) {
	if v.(*celeriant.Change).Kind != celeriant.Batch {
		return "", nil
	}
	return text(v), nil
}

func wanted(v any) bool { return strings.HasPrefix(v.(string), "w") }

// The example of the README: nothing is stored before the last stage has
// handled it, and all is stored soon after, what was filtered out, too.
func TestForEachBehindMapAndFilterIsAtLeastOnce(t *testing.T) {
	for name, opts := range map[string][]rxgo.Option{"unbuffered": nil, "buffered": {rxgo.WithBufferedChannel(64)}} {
		bubble(t, func(w *world) {
			w.write(1, "w1")
			w.write(2, "x", "x")
			w.write(1, "x", "w2", "w3", "x")
			ctx, cancel := context.WithCancel(w.t.Context())
			var o observer
			o.handle = func(v any) {
				// Long enough for everything to be stored that would be.
				time.Sleep(3 * time.Second)
				if version := map[any]uint64{"w1": 1, "w2": 3, "w3": 4}[v]; w.stored(1) >= version {
					w.t.Errorf("%s: version %d is stored while %d is at work", name, w.stored(1), version)
				}
			}
			ended := w.orders().Map(payload).Filter(wanted).ForEach(o.next, o.fail, o.done, append(opts, rxgo.WithContext(ctx))...)
			time.Sleep(time.Minute)
			if got := o.got(); !slices.Equal(got, []string{"w1", "w2", "w3"}) || w.stored(1) != 5 || w.stored(2) != 2 {
				w.t.Errorf("%s: got %q, stored %d and %d", name, got, w.stored(1), w.stored(2))
			}
			cancel()
			<-ended
			if o.failed != nil {
				w.t.Errorf("%s: failed with %v", name, o.failed)
			}
		})
	}
}

// A cancel lets the handler finish; what it handled is stored, and the next
// observer goes on behind it.
func TestForEachStopsAndResumes(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a", "b", "c")
		ctx, cancel := context.WithCancelCause(w.t.Context())
		var cause error
		o := observer{handle: func(v any) {
			if text(v) == "b" {
				cancel(errStop)
				time.Sleep(5 * time.Second)
			}
		}}
		<-w.orders(celeriant.WithOnEnd(func(err error) { cause = err })).ForEach(o.next, o.fail, o.done, rxgo.WithContext(ctx))
		if got := o.got(); !slices.Equal(got, []string{"1.1 a", "1.2 b"}) || w.stored(1) != 2 || o.failed != nil || !errors.Is(cause, errStop) {
			w.t.Errorf("got %q, stored %d, failed with %v, ended with %v", got, w.stored(1), o.failed, cause)
		}
		again, stop := context.WithCancel(w.t.Context())
		defer stop()
		item := <-w.orders().Observe(rxgo.WithContext(again))
		if describe(item.V.(*celeriant.Change)) != "1.3 c" {
			w.t.Errorf("resumed with %v", item.V)
		}
	})
}

// An observer of the channel has handled an item when it takes the next but
// as many as the channel holds.
func TestObserveStoresBehindWhatIsTaken(t *testing.T) {
	for _, buffer := range []int{0, 3} {
		bubble(t, func(w *world) {
			ctx, cancel := context.WithCancel(w.t.Context())
			defer cancel()
			for range 10 {
				w.write(1, "a")
			}
			items := w.orders().Observe(rxgo.WithContext(ctx), rxgo.WithBufferedChannel(buffer))
			for taken := uint64(1); taken <= 10; taken++ {
				<-items
				time.Sleep(2 * time.Second)
				if w.stored(1) >= taken {
					w.t.Errorf("buffer %d: %d are stored, %d is in hand", buffer, w.stored(1), taken)
				}
			}
			if <-items; buffer == 0 { // caught up
				time.Sleep(2 * time.Second)
				w.write(2, "b")
				<-items
				time.Sleep(2 * time.Second)
				if w.stored(1) != 10 {
					w.t.Errorf("%d of 10 are stored", w.stored(1))
				}
			}
		})
	}
}

func TestSlices(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a", "b")
		w.write(2, "c")
		ctx, cancel := context.WithCancel(w.t.Context())
		var seen []string
		ended := w.orders().Slices().ForEach(func(v any) {
			for i := range v.([]celeriant.Change) {
				seen = append(seen, describe(&v.([]celeriant.Change)[i]))
			}
		}, func(err error) { w.t.Error(err) }, func() {}, rxgo.WithContext(ctx))
		synctest.Wait()
		cancel()
		<-ended
		slices.Sort(seen)
		if !slices.Equal(seen, []string{"1.1 a", "1.2 b", "2.1 c", "caught_up"}) || w.stored(1) != 2 || w.stored(2) != 1 {
			w.t.Errorf("got %q, stored %d and %d", seen, w.stored(1), w.stored(2))
		}
	})
}

// Observers are cold: each has all of it. Pipelines that branch do not disturb
// each other.
func TestObserversAreCold(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "w1", "x", "w2")
		same := func(any) bool { return true }
		// Three stages fill no power of two: a fourth one finds room behind them.
		all := w.client.Watch(celeriant.Everything()).Map(payload).Filter(same).Filter(same)
		suffix := func(s string) rxgo.Func {
			return func(_ context.Context, v any) (any, error) { return v.(string) + s, nil }
		}
		branches := []rxgo.Observable{all.Filter(wanted), all.Map(suffix("!")).Filter(wanted), all.Map(suffix("?")).Filter(wanted)}
		for range 2 {
			for i, want := range [][]string{{"w1", "w2"}, {"w1!", "w2!"}, {"w1?", "w2?"}} {
				ctx, cancel := context.WithCancel(w.t.Context())
				var o observer
				ended := branches[i].ForEach(o.next, o.fail, o.done, rxgo.WithContext(ctx))
				synctest.Wait()
				cancel()
				<-ended
				if !slices.Equal(o.got(), want) {
					w.t.Errorf("branch %d got %q, want %q", i, o.got(), want)
				}
			}
		}
	})
}

// An error of Map reaches the observer behind what came before, and ends it.
func TestMapErrorEndsTheObserver(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a", "b", "c")
		var o observer
		<-w.orders().Map(func(_ context.Context, v any) (any, error) {
			if text(v) == "b" {
				return nil, errStop
			}
			return text(v), nil
		}).ForEach(o.next, o.fail, o.done)
		if !slices.Equal(o.got(), []string{"a"}) || !errors.Is(o.failed, errStop) || w.stored(1) != 1 {
			w.t.Errorf("got %q, failed with %v, stored %d", o.got(), o.failed, w.stored(1))
		}
	})
}

func TestFenceIsAnError(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a")
		var cause error
		o := observer{handle: func(any) { w.takeOver() }}
		<-w.orders(celeriant.WithOnEnd(func(err error) { cause = err })).ForEach(o.next, o.fail, o.done)
		if !errors.Is(o.failed, checkpoint.ErrFenced) || !errors.Is(cause, checkpoint.ErrFenced) || w.stored(1) != 0 {
			w.t.Errorf("failed with %v, ended with %v, stored %d", o.failed, cause, w.stored(1))
		}
	})
}

func TestSubscribingFailsAsAnError(t *testing.T) {
	bubble(t, func(w *world) {
		var o observer
		<-w.orders(celeriant.WithReaders(-1)).ForEach(o.next, o.fail, o.done)
		if o.failed == nil {
			w.t.Error("nothing failed")
		}
	})
}

// Operators that are rxgo's own, too, leave nothing behind once the context
// ends. The end of the bubble sees what is left.
func TestNothingIsLeftBehind(t *testing.T) {
	for name, use := range map[string]func(o rxgo.Observable, opts ...rxgo.Option){
		"Take": func(o rxgo.Observable, opts ...rxgo.Option) {
			<-o.Take(1).ForEach(func(any) {}, nil, func() {}, opts...)
		},
		"First": func(o rxgo.Observable, opts ...rxgo.Option) { _, _ = o.First(opts...).Get() },
		"Map with options": func(o rxgo.Observable, opts ...rxgo.Option) {
			fails := func(context.Context, any) (any, error) { return nil, errStop }
			<-o.Map(fails, rxgo.WithBufferedChannel(1)).ForEach(func(any) {}, func(error) {}, func() {}, opts...)
		},
		"Filter with options": func(o rxgo.Observable, opts ...rxgo.Option) {
			<-o.Filter(func(any) bool { return true }, rxgo.WithBufferedChannel(1)).Take(1).ForEach(func(any) {}, nil, func() {}, opts...)
		},
		"Scan": func(o rxgo.Observable, opts ...rxgo.Option) {
			<-o.Scan(func(_ context.Context, _, v any) (any, error) { return v, nil }).Take(1).ForEach(func(any) {}, nil, func() {}, opts...)
		},
		"abandoned": func(o rxgo.Observable, opts ...rxgo.Option) { <-o.Observe(opts...) },
	} {
		bubble(t, func(w *world) {
			w.write(1, "a", "b", "c")
			ctx, cancel := context.WithCancel(w.t.Context())
			ended := make(chan error, 1)
			use(w.orders(celeriant.WithOnEnd(func(err error) { ended <- err })).Observable, rxgo.WithContext(ctx))
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				w.t.Errorf("%s ended with %v", name, err)
			}
		})
	}
}

// A filter that matches nothing does not stop positions, and costs memory by
// the aggregate only.
func TestFilterThatMatchesNothing(t *testing.T) {
	bubble(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.t.Context())
		var o observer
		ended := w.orders().Map(payload).Filter(wanted).ForEach(o.next, o.fail, o.done, rxgo.WithContext(ctx))
		for range 20 {
			w.write(1, "x", "x")
			time.Sleep(time.Second)
		}
		if w.stored(1) != 40 || len(o.got()) != 0 {
			w.t.Errorf("stored %d, got %q", w.stored(1), o.got())
		}
		cancel()
		<-ended
	})
}

// A subscription ends with its observer, not with the client.
func TestSubscriptionsEndWithTheirConsumers(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a")
		for name, consume := range map[string]func(ctx context.Context, o *celeriant.Observable){
			"ForEach": func(ctx context.Context, o *celeriant.Observable) {
				<-o.ForEach(func(any) {}, func(error) {}, func() {}, rxgo.WithContext(ctx))
			},
			"All": func(ctx context.Context, o *celeriant.Observable) {
				for range o.All(ctx) {
				}
			},
			"Run": func(ctx context.Context, o *celeriant.Observable) {
				_ = o.Run(ctx, func(context.Context, celeriant.Change) error { return nil })
			},
		} {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			watching := make(chan int, 1)
			time.AfterFunc(500*time.Millisecond, func() { watching <- w.node.Stats().Watches })
			consume(ctx, w.orders())
			cancel()
			time.Sleep(2 * time.Second) // a connection nobody uses lingers for a moment
			synctest.Wait()
			if during, after := <-watching, w.node.Stats().Watches; during != 1 || after != 0 {
				w.t.Errorf("%s: %d watches while consuming, %d after", name, during, after)
			}
		}
	})
}

// Subscriptions of one client share connections and reads where their scopes
// overlap.
func TestSubscriptionsShareTheirWatches(t *testing.T) {
	bubble(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.t.Context())
		var consumers sync.WaitGroup
		var handled atomic.Int64
		const many = 20
		for n := range many {
			consumers.Go(func() {
				o := w.client.Watch(celeriant.Types(org, typ), celeriant.WithName(fmt.Sprint("consumer ", n)))
				_ = o.Run(ctx, func(_ context.Context, c celeriant.Change) error {
					if c.Kind == celeriant.Batch {
						handled.Add(1)
					}
					return nil
				})
			})
		}
		time.Sleep(10 * time.Second)
		watches := w.node.Stats().Watches
		for range 10 {
			w.write(1, "a")
			time.Sleep(time.Second)
		}
		if handled.Load() != 10*many || watches != 1 {
			w.t.Errorf("%d changes were handled over %d connections", handled.Load(), watches)
		}
		if s := w.client.Shared(); s.Sent >= s.Asked/2 {
			w.t.Errorf("nothing is shared: %+v", s)
		}
		cancel()
		consumers.Wait()
	})
}

// The store's memory of the last change survives the client.
func TestCloseStoresWhatWasHandled(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a")
		o := observer{handle: func(any) { time.Sleep(5 * time.Second) }}
		ended := w.orders().ForEach(o.next, o.fail, o.done)
		synctest.Wait()
		w.close()
		<-ended
		cursors, err := w.store.Load(context.Background(), "orders", []msg.Key{keyOf(1)})
		if err != nil || cursors[0].Version != 1 || o.failed != nil {
			w.t.Errorf("stored %v, %v, failed with %v", cursors, err, o.failed)
		}
	})
}
