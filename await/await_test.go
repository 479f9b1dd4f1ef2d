package await_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keyOf(n uint64) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(n)}
}

func batch(version uint64, text string) msg.Batch {
	return msg.Batch{Version: version, Events: []msg.Event{{EventSeq: version, Major: 1, Value: []byte(text)}}}
}

// world is a store with one consumer, and a leader with one log for all aggregates.
type world struct {
	*checkpoint.Memory
	t     testing.TB
	owner checkpoint.Owner

	mu    sync.Mutex
	log   map[uint64]msg.Batch
	loads int
	keys  int
	fail  error
}

// Exclusive makes the store one that processes share: its members write heartbeats.
func (w *world) Exclusive() bool { return false }

func newWorld(t testing.TB) *world {
	w := &world{Memory: checkpoint.NewMemory(), t: t, log: map[uint64]msg.Batch{}}
	for v := uint64(1); v <= 5; v++ {
		w.log[v] = batch(v, "first life")
	}
	owner, err := w.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "all"})
	if err != nil {
		t.Fatal(err)
	}
	w.owner = owner
	return w
}

func (w *world) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	w.mu.Lock()
	w.loads++
	w.keys += len(keys)
	err := w.fail
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return w.Memory.Load(ctx, name, keys)
}

func (w *world) Read(_ context.Context, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b, ok := w.log[req.Filters.From]; ok {
		return &msg.ReadResponse{Batches: []msg.Batch{b}}, nil
	}
	return &msg.ReadResponse{}, nil
}

// handled stores that the consumer has come to a version.
func (w *world) handled(key, version uint64) {
	w.t.Helper()
	w.mu.Lock()
	b := w.log[version]
	w.mu.Unlock()
	w.save(checkpoint.Mutation{Entries: []checkpoint.Entry{{Key: keyOf(key), Cursor: checkpoint.Cursor{Version: version, Anchor: checkpoint.AnchorOf(&b)}}}})
}

func (w *world) save(m checkpoint.Mutation) {
	w.t.Helper()
	m.Owners = []checkpoint.Owner{w.owner}
	if err := w.Apply(w.t.Context(), "orders", m); err != nil {
		w.t.Fatal(err)
	}
}

// divided divides the subscription into partitions, which nobody takes.
func (w *world) divided() lease.Definition {
	w.t.Helper()
	d, err := lease.Declare(w.t.Context(), w, "orders", lease.Declaration{
		Rule: func(context.Context) (lease.Rule, error) { return lease.Rule{}, nil }, Partitions: 8, Scope: "all",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// request changes records under no claim.
func (w *world) request(m checkpoint.Mutation) {
	w.t.Helper()
	if err := w.Apply(w.t.Context(), "orders", m); err != nil {
		w.t.Fatal(err)
	}
}

// wait waits in the background.
func (w *world) wait(key, version uint64, limit time.Duration) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(w.t.Context(), limit)
		defer cancel()
		ended <- await.New(w, w).Await(ctx, "orders", keyOf(key), version)
	}()
	synctest.Wait()
	return ended
}

func TestAwaitIsWokenByACommitOfThisProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ended := w.wait(1, 3, time.Minute)
		w.handled(1, 2)
		await.Committed(w, "orders")
		time.Sleep(20 * time.Millisecond)
		select {
		case err := <-ended:
			t.Fatalf("ended at version 2 with %v", err)
		default:
		}
		w.handled(1, 4)
		start := time.Now()
		await.Committed(w, "orders")
		if err := <-ended; err != nil || time.Since(start) > 20*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A commit right behind a look is looked at within two milliseconds.
func TestAwaitAddsLittleToACommitOfThisProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ended := w.wait(1, 3, time.Minute) // it has looked in vain
		w.handled(1, 3)
		start := time.Now()
		await.Committed(w, "orders")
		if err := <-ended; err != nil || time.Since(start) > 2*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A wait for a handled version needs no commit.
func TestAwaitOfWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.handled(1, 3)
		if err := <-w.wait(1, 3, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// A cursor of an earlier life satisfies nobody: a fresh recreation answers 1 where 5 is
// stored.
//
//covers:g18
func TestAwaitIsNotDeceivedByAnEarlierLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.handled(1, 5)
		w.mu.Lock()
		w.log = map[uint64]msg.Batch{1: batch(1, "second life")}
		w.mu.Unlock()
		var late *await.LateError
		if err := <-w.wait(1, 1, 10*time.Second); !errors.As(err, &late) || late.Reason != await.OtherLife || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		ended := w.wait(1, 1, 10*time.Second)
		b := batch(1, "second life")
		w.save(checkpoint.Mutation{Entries: []checkpoint.Entry{{Key: keyOf(1), Cursor: checkpoint.Cursor{Life: 1, Version: 1, Anchor: checkpoint.AnchorOf(&b)}}}})
		if err := <-ended; err != nil {
			t.Errorf("after the new life was handled: %v", err)
		}
	})
}

// All waiters of a process look in one statement, once a second, and nobody when
// nobody waits.
func TestWaitersLookTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var ended []<-chan error
		for n := range uint64(200) {
			ended = append(ended, w.wait(n%100, 3, 10*time.Second+time.Millisecond))
		}
		time.Sleep(time.Second)
		w.mu.Lock()
		w.loads, w.keys = 0, 0
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		w.mu.Lock()
		if w.loads < 4 || w.loads > 6 || w.keys != w.loads*100 {
			t.Errorf("%d look-ups of %d keys in 5 s", w.loads, w.keys)
		}
		w.mu.Unlock()
		for _, e := range ended {
			<-e
		}
		w.mu.Lock()
		w.loads = 0
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if w.loads != 0 {
			t.Errorf("%d look-ups although nobody waits", w.loads)
		}
	})
}

func TestAwaitSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(w *world)
		want    await.Reason
	}{
		{"behind", func(w *world) { w.handled(1, 2) }, await.Behind},
		{"parked", func(w *world) {
			var m checkpoint.Mutation
			m.Park(checkpoint.Parked{Key: keyOf(1), Version: 2}, 0)
			w.save(m)
		}, await.Parked},
		{"stopped", func(w *world) {
			var m checkpoint.Mutation
			m.Stop(checkpoint.Stopped{Key: keyOf(1), Version: 2})
			w.save(m)
		}, await.Stopped},
		{"deleted", func(w *world) {
			w.save(checkpoint.Mutation{Entries: []checkpoint.Entry{{Key: keyOf(1), Cursor: checkpoint.Cursor{Version: 4, Deleted: true}}}})
		}, await.Deleted},
		{"superseded", func(w *world) {
			over := checkpoint.Supersession{By: "orders@2", Scope: "all"}
			if _, err := w.Acquire(w.t.Context(), checkpoint.Claim{Name: "orders", Scope: over.ScopeText(), Replaces: []string{"all"}}); err != nil {
				w.t.Fatal(err)
			}
		}, await.Superseded},
		{"in a partition that stopped", func(w *world) {
			var m checkpoint.Mutation
			m.Stop(checkpoint.Stopped{Partition: w.divided().Of(keyOf(1)), Key: keyOf(9), Version: 2})
			w.request(m)
		}, await.Stopped},
		{"in a partition that nobody owns, beside one that stopped", func(w *world) {
			var m checkpoint.Mutation
			m.Stop(checkpoint.Stopped{Partition: 1 + w.divided().Of(keyOf(1)), Key: keyOf(9), Version: 2})
			w.request(m)
		}, await.Unowned},
		{"of a name that never was", func(w *world) {
			if err := w.Delete(w.t.Context(), "orders"); err != nil {
				w.t.Fatal(err)
			}
			w.Memory = checkpoint.NewMemory()
		}, await.Unowned},
		{"unowned", func(w *world) {
			if err := w.Delete(w.t.Context(), "orders"); err != nil {
				w.t.Fatal(err)
			}
		}, await.Unowned},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			c.prepare(w)
			var late *await.LateError
			if err := <-w.wait(1, 3, 2*time.Second); !errors.As(err, &late) || late.Reason != c.want || late.Version != 3 {
				t.Errorf("%s: ended with %v", c.name, err)
			}
		})
	}
}

//covers:g18
func TestAwaitTellsWhatWasNotHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.log[4]
		m := checkpoint.Mutation{Entries: []checkpoint.Entry{{Key: keyOf(1), Cursor: checkpoint.Cursor{Version: 4, Anchor: checkpoint.AnchorOf(&b)}}}}
		m.Pass(checkpoint.Passed{Key: keyOf(1), From: 2, To: 3, Why: "skipped"})
		w.save(m)
		var not *await.NotHandledError
		if err := <-w.wait(1, 3, time.Minute); !errors.As(err, &not) || not.Why != "skipped" {
			t.Errorf("version 3: %v", err)
		}
		if err := <-w.wait(1, 4, time.Minute); err != nil {
			t.Errorf("version 4: %v", err)
		}
	})
}

// A store that fails is asked again; its error is told only at the deadline.
func TestAwaitOutlastsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gone := errors.New("gone")
		w.fail = gone
		w.handled(1, 3)
		ended := w.wait(1, 3, time.Minute)
		time.Sleep(10 * time.Second)
		w.mu.Lock()
		w.fail = nil
		w.mu.Unlock()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		w.fail = gone
		if err := <-w.wait(1, 3, 3*time.Second); !errors.Is(err, gone) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the deadline: %v", err)
		}
	})
}

func TestStaleInsteadOfLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		waiters := await.New(w, w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if stale, err := waiters.AwaitOrStale(ctx, "orders", keyOf(1), 3); !stale || err != nil {
			t.Errorf("got %v, %v", stale, err)
		}
		w.handled(1, 3)
		if stale, err := waiters.AwaitOrStale(t.Context(), "orders", keyOf(1), 3); stale || err != nil {
			t.Errorf("got %v, %v", stale, err)
		}
	})
}

func TestOutOfScopeIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t)
	waiters := await.New(w, w, await.Within(func(name string, key msg.Key) bool { return key == keyOf(1) }))
	if err := waiters.Await(t.Context(), "orders", keyOf(2), 1); !errors.Is(err, await.ErrOutOfScope) {
		t.Errorf("got %v", err)
	}
}
