package simulation_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"
)

// instants gives everything that waits an instant of its own to go on at.
type instants struct {
	seed uint64

	mu    sync.Mutex
	taken map[int64]struct{}
}

func newInstants(seed uint64) *instants {
	return &instants{seed: seed, taken: make(map[int64]struct{})}
}

// free returns how long to wait from now, about d, so that nobody else goes on in
// the same instant.
func (w *instants) free(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for ; ; d++ {
		at := now.Add(d).UnixNano()
		if _, taken := w.taken[at]; !taken {
			w.taken[at] = struct{}{}
			return d
		}
	}
}

// delay is a time that follows from the seed, the present instant and what
// happens, so that it does not matter in which order things happen that begin in
// one instant.
func (w *instants) delay(least, spread time.Duration, what ...any) time.Duration {
	h := fnv.New64a()
	fmt.Fprint(h, w.seed, time.Now().UnixNano())
	fmt.Fprintln(h, what...)
	return least + time.Duration(h.Sum64()%uint64(spread))
}

// nap waits for about d, or until ctx ends.
func (w *instants) nap(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(w.free(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *instants) sleep(d time.Duration) { time.Sleep(w.free(d)) }
