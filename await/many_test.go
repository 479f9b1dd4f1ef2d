package await_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
)

// A waiter that joins while others leave, and while its version is committed, is woken by
// that commit: one that missed it would wait for the next look, a second later.
func TestAWaiterThatJoinsMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const rounds = 300
		began := time.Now()
		for n := range uint64(rounds) {
			var together sync.WaitGroup
			waits := func() {
				if err := await.New(w, w).Await(t.Context(), "orders", keyOf(n), 1); err != nil {
					t.Error(err)
				}
			}
			together.Go(waits)
			together.Go(waits)
			together.Go(func() {
				w.handled(n, 1)
				await.Committed(w, "orders")
			})
			together.Go(waits)
			together.Wait()
		}
		if took := time.Since(began); took > rounds*20*time.Millisecond {
			t.Errorf("%d waits took %v: one was not woken", rounds, took)
		}
	})
}

// Ten thousand waiters look together, in pages, and each ends with its own commit.
func TestTenThousandWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiting = 10_000
		w := newWorld(t)
		waiters := await.New(w, w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var ended sync.WaitGroup
		for n := range uint64(waiting) {
			ended.Go(func() {
				if err := waiters.Await(ctx, "orders", keyOf(n), 1); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		w.mu.Lock()
		pages := (waiting + 511) / 512
		if w.loads > 6*pages || w.keys > 6*waiting {
			t.Errorf("%d look-ups of %d keys in three seconds", w.loads, w.keys)
		}
		b := w.log[1]
		w.mu.Unlock()
		entries := make([]checkpoint.Entry, waiting)
		for n := range entries {
			entries[n] = checkpoint.Entry{Key: keyOf(uint64(n)), Cursor: checkpoint.Cursor{Version: 1, Anchor: checkpoint.AnchorOf(&b)}}
		}
		w.save(checkpoint.Mutation{Entries: entries})
		began := time.Now()
		await.Committed(w, "orders")
		ended.Wait()
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("they ended %v behind the commit", took)
		}
	})
}

// Nothing runs for a store without waiters, and a commit there costs a look into a map.
func TestCommitsWithoutWaiters(t *testing.T) {
	w := newWorld(t)
	if allocated := testing.AllocsPerRun(100, func() { await.Committed(w, "orders") }); allocated > 0 {
		t.Errorf("a commit allocates %v times", allocated)
	}
}
