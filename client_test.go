package celeriant_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

func TestConnectRefusesNonsense(t *testing.T) {
	for name, c := range map[string]struct {
		address string
		opt     celeriant.ConnectOption
	}{
		"Address":         {"nowhere", celeriant.WithoutCompression()},
		"MaxConnections":  {"node:1", celeriant.WithMaxConnections(-1)},
		"ConnectTimeout":  {"node:1", celeriant.WithConnectTimeout(-1)},
		"RequestTimeout":  {"node:1", celeriant.WithRequestTimeout(-1)},
		"IdleTimeout":     {"node:1", celeriant.WithIdleTimeout(-1)},
		"ProtocolVersion": {"node:1", celeriant.WithProtocolVersion(4)},
		"MemoryBudget":    {"node:1", celeriant.WithMemoryBudget(-1)},
	} {
		_, err := celeriant.Connect(c.address, c.opt)
		var refused *pool.OptionError
		if !errors.As(err, &refused) || refused.Option != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every option of the pool can be set, in the order of the options.
func TestPoolOptions(t *testing.T) {
	seen := 0
	bad := func(o *pool.Options) { o.PageBytes, seen = -1, o.MaxConnections }
	var refused *pool.OptionError
	_, err := celeriant.Connect("node:1", celeriant.WithMaxConnections(7), celeriant.WithPoolOptions(bad))
	if !errors.As(err, &refused) || refused.Option != "PageBytes" || seen != 7 {
		t.Errorf("%v, saw %d connections", err, seen)
	}
	_, err = celeriant.Connect("node:1", celeriant.WithPoolOptions(bad), celeriant.WithPoolOptions(func(o *pool.Options) { o.PageBytes = 0 }),
		celeriant.WithMaxConnections(-1))
	if !errors.As(err, &refused) || refused.Option != "MaxConnections" {
		t.Error(err)
	}
}

// Hooks hear of requests, of every subscription of the client, and of waits.
func TestHooks(t *testing.T) {
	var writes, live, waits atomic.Int64
	hooks := celeriant.Hooks{
		Pool: pool.Hooks{Done: func(d pool.Done) {
			if d.Op == msg.TypeWriteRequest && d.Err == nil {
				writes.Add(1)
			}
		}},
		Stream: stream.Hooks{State: func(s stream.State) {
			if s.Phase == stream.Live {
				live.Add(1)
			}
		}},
		Await: await.Hooks{Ended: func(_ context.Context, e await.Ended) {
			if e.Name == "orders" && e.Version == 7 && errors.Is(e.Err, context.DeadlineExceeded) {
				waits.Add(1)
			}
		}},
	}
	bubble(t, func(w *world) {
		w.write(1, "a")
		for _, watch := range []*celeriant.Observable{w.orders(), w.client.Watch(celeriant.Everything())} {
			if _, err := watch.Subscribe(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
		}
		synctest.Wait()
		if writes.Load() != 1 || live.Load() < 2 {
			w.t.Errorf("heard of %d writes and %d live subscriptions", writes.Load(), live.Load())
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if err := w.client.Await(ctx, checkpoint.NewMemory(), "orders", keyOf(1), 7); err == nil || waits.Load() != 1 {
			w.t.Errorf("a wait ended with %v, and %d were heard of", err, waits.Load())
		}
	}, celeriant.WithHooks(hooks))
}

// Subscribers agree on the ids of events, and an aggregate that was deleted and
// created again has events of its own, though all else is as before.
func TestEventIDsOfLives(t *testing.T) {
	bubble(t, func(w *world) {
		ids := func() (all []msg.ID) {
			s, err := w.client.Watch(celeriant.Everything()).Subscribe(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			defer s.Close(w.t.Context())
			for c, err := range s.All(w.t.Context()) {
				switch {
				case err != nil:
					w.t.Fatal(err)
				case c.Kind == celeriant.CaughtUp:
					return all
				case c.Kind == celeriant.Batch:
					all = append(all, c.EventID(0))
				}
			}
			return all
		}
		w.write(1, "a")
		first, again := ids(), ids()
		if len(first) != 1 || !slices.Equal(first, again) {
			w.t.Errorf("one subscriber saw %v, another %v", first, again)
		}
		time.Sleep(time.Millisecond)
		err := w.client.Pool().Delete(w.t.Context(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{{Key: keyOf(1), AllowRecreate: true}}})
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(1, "a")
		if second := ids(); len(second) != 1 || second[0] == first[0] {
			w.t.Errorf("the first life's event is %v, the second's %v", first, second)
		}
	})
}

func TestWriteConditions(t *testing.T) {
	bubble(t, func(w *world) {
		ctx := w.t.Context()
		events := []msg.Event{{ClientSeq: 1, Major: 1}}
		if _, err := w.client.WriteEvents(ctx, keyOf(1), events, clientID, celeriant.WithoutCreate()); !errors.Is(err, msg.ErrNotFound) {
			w.t.Error(err)
		}
		user := msg.IDFromUint64(8)
		v, err := w.client.WriteEvents(ctx, keyOf(1), events, clientID, celeriant.WithExpectedVersion(0), celeriant.WithUser(user))
		if err != nil || v != 1 {
			w.t.Errorf("version %d, %v", v, err)
		}
		if _, err := w.client.WriteEvents(ctx, keyOf(1), events, clientID, celeriant.WithExpectedVersion(0)); !errors.Is(err, msg.ErrConflict) {
			w.t.Error(err)
		}
		if _, err := w.client.WriteEvents(ctx, keyOf(1), events, clientID, celeriant.WithIdempotency()); !errors.Is(err, msg.ErrDuplicate) {
			w.t.Error(err)
		}
		page, err := w.client.Pool().Read(ctx, &msg.ReadRequest{Key: keyOf(1)})
		if err != nil || len(page.Batches) != 1 || page.Batches[0].UserID != msg.Some(user) {
			w.t.Errorf("%+v, %v", page, err)
		}
	})
}

// Options reach the pool and the subscription.
func TestOptionsReachWhatTheyConfigure(t *testing.T) {
	bubble(t, func(w *world) {
		states := make(chan celeriant.State, 16)
		s, err := w.orders(celeriant.WithLatency(time.Second), celeriant.WithReaders(2), celeriant.WithLiveness(20*time.Second),
			celeriant.WithReconcile(-1), celeriant.WithContinuation(stream.ContinueOnly),
			celeriant.WithOnState(func(s celeriant.State) { states <- s })).Subscribe(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for (<-states).Phase != stream.Live {
		}
		if s.Name() != "orders" || s.Store() != checkpoint.Store(w.store) {
			w.t.Errorf("name %q, store %T", s.Name(), s.Store())
		}
		start := time.Now()
		w.write(1, "a")
		for {
			changes, err := s.Next(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			if changes[0].Kind == celeriant.Batch {
				break
			}
		}
		if took := time.Since(start); took < 500*time.Millisecond {
			w.t.Errorf("a latency of a second was asked for, the change came after %v", took)
		}
		for _, bad := range []celeriant.WatchOption{celeriant.WithReaders(-1), celeriant.WithBuffer(-1), celeriant.WithLiveness(-1), celeriant.WithName("\x00")} {
			if _, err := w.orders(bad).Subscribe(w.t.Context()); err == nil {
				w.t.Error("nonsense was taken")
			}
		}
		other := w.client.Watch(celeriant.Orgs(org), celeriant.WithName("orders"), celeriant.WithCheckpoints(w.store))
		var scope *checkpoint.ScopeError
		if _, err := other.Subscribe(w.t.Context()); !errors.As(err, &scope) {
			w.t.Error(err)
		}
		adopted := w.client.Watch(celeriant.Orgs(org), celeriant.WithName("orders"), celeriant.WithCheckpoints(w.store), celeriant.WithAdoptedScope())
		if _, err := adopted.Subscribe(w.t.Context()); err != nil {
			w.t.Error(err)
		}
	})
}

func TestMemoryBudget(t *testing.T) {
	bubble(t, func(w *world) {
		watch := func(opts ...celeriant.WatchOption) (*celeriant.Subscription, error) {
			return w.client.Watch(celeriant.Everything(), opts...).Subscribe(w.t.Context())
		}
		first, err := watch(celeriant.WithBuffer(600))
		if err != nil {
			w.t.Fatal(err)
		}
		var refused *celeriant.BudgetError
		if _, err := watch(celeriant.WithBuffer(600)); !errors.As(err, &refused) || refused.Wanted != 600 || refused.Taken != 600 || refused.Budget != 1000 {
			w.t.Fatal(err)
		}
		for _, number := range []string{"600", "1000"} {
			if !strings.Contains(refused.Error(), number) {
				w.t.Errorf("%q does not name %s", refused, number)
			}
		}
		if _, err := watch(celeriant.WithBuffer(400)); err != nil {
			w.t.Error(err)
		}
		// A subscription that has ended gives its share back, and so does one
		// that could not be opened.
		if err := first.Close(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if _, err := watch(celeriant.WithBuffer(600), celeriant.WithName("\x00")); errors.As(err, &refused) || err == nil {
			w.t.Error(err)
		}
		if _, err := watch(celeriant.WithBuffer(600)); err != nil {
			w.t.Error(err)
		}
	}, celeriant.WithMemoryBudget(1000))
	bubble(t, func(w *world) {
		// Without WithBuffer the default shrinks to the budget.
		if _, err := w.orders().Subscribe(w.t.Context()); err != nil {
			w.t.Error(err)
		}
	}, celeriant.WithMemoryBudget(1000))
}

func TestCloseEndsEverything(t *testing.T) {
	bubble(t, func(w *world) {
		s, err := w.orders().Subscribe(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		ran := make(chan error)
		go func() {
			ran <- w.client.Watch(celeriant.Everything()).Run(context.Background(), func(context.Context, celeriant.Change) error { return nil })
		}()
		causes := make(chan error, 1)
		// An observer that took one item and went away.
		abandoned := w.client.Watch(celeriant.Everything(), celeriant.WithOnEnd(func(err error) { causes <- err }))
		w.write(1, "a", "b")
		<-abandoned.Observe()
		synctest.Wait()
		w.close()
		if err := <-ran; !errors.Is(err, stream.ErrClosed) {
			w.t.Errorf("Run: %v", err)
		}
		if err := <-causes; !errors.Is(err, stream.ErrClosed) {
			w.t.Errorf("the abandoned observer ended with %v", err)
		}
		if !errors.Is(s.Err(), stream.ErrClosed) {
			w.t.Errorf("the subscription ended with %v", s.Err())
		}
		if _, err := w.orders().Subscribe(w.t.Context()); !errors.Is(err, celeriant.ErrClosed) {
			w.t.Errorf("after Close: %v", err)
		}
		if _, open := <-abandoned.Observe(); open || !errors.Is(<-causes, celeriant.ErrClosed) {
			w.t.Error("an observer after Close did not end at once")
		}
		if _, err := w.client.WriteEvents(w.t.Context(), keyOf(1), nil, clientID); !errors.Is(err, pool.ErrClosed) {
			w.t.Errorf("write after Close: %v", err)
		}
	})
}

// Close waits for a handler no longer than its context allows.
func TestCloseIsBounded(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a")
		release := make(chan struct{})
		ended := w.orders().ForEach(func(any) { <-release }, func(error) {}, func() {})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := w.client.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			w.t.Errorf("%v after %v", err, time.Since(start))
		}
		close(release)
		<-ended
	})
}
