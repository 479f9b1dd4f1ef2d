package bench

import (
	"sync"
	"testing"
)

// Every aggregate is taken once, whatever the number of shards and workers, and
// a lone worker changes shards as seldom as possible.
func TestRemainder(t *testing.T) {
	for _, c := range []struct{ aggregates, shards, workers uint64 }{{0, 2, 1}, {1, 4, 3}, {10, 1, 2}, {1000, 3, 8}, {7, 64, 2}} {
		left := newRemainder(c.aggregates, c.shards)
		var mu sync.Mutex
		taken := make(map[uint64]int)
		var workers sync.WaitGroup
		for worker := range c.workers {
			workers.Go(func() {
				shard := worker % c.shards
				for n, ok := left.take(&shard); ok; n, ok = left.take(&shard) {
					mu.Lock()
					taken[n]++
					mu.Unlock()
				}
			})
		}
		workers.Wait()
		for n := range c.aggregates {
			if taken[n] != 1 {
				t.Errorf("%+v: aggregate %d was taken %d times", c, n, taken[n])
			}
		}
		if uint64(len(taken)) != c.aggregates {
			t.Errorf("%+v: %d aggregates were taken", c, len(taken))
		}
	}
	left, shard, moves := newRemainder(100, 4), uint64(2), 0
	for last := uint64(2); ; {
		n, ok := left.take(&shard)
		if !ok {
			break
		}
		if n%4 != last {
			moves++
		}
		last = n % 4
	}
	if moves != 3 {
		t.Errorf("%d moves between 4 shards", moves)
	}
}
