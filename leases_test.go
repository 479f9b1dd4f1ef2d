package celeriant_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

// Two consumers of one name share the aggregates; neither ends the other, each batch is
// handled once, and the one that stays takes over.
func TestLeasesShareTheWork(t *testing.T) {
	bubble(t, func(w *world) {
		var mu sync.Mutex
		by := make(map[msg.Key][]int) // who handled the batches of an aggregate
		orders := w.orders(celeriant.WithLeases(), celeriant.WithLeaseTTL(3*time.Second), celeriant.WithPartitions(8))
		consume := func(who int) (stop func()) {
			ctx, cancel := context.WithCancelCause(context.Background())
			ended := make(chan error, 1)
			go func() {
				ended <- operators.ForEach(ctx, orders, func(_ context.Context, c celeriant.Change) error {
					mu.Lock()
					defer mu.Unlock()
					if c.Kind == celeriant.Batch {
						by[c.Key] = append(by[c.Key], who)
					}
					return nil
				})
			}()
			return func() {
				cancel(errStop)
				if err := <-ended; !errors.Is(err, errStop) {
					t.Errorf("consumer %d: %v", who, err)
				}
			}
		}
		const aggregates = 40
		settle := func() {
			time.Sleep(time.Minute) // of virtual time
			synctest.Wait()
		}
		stopFirst, stopSecond := consume(1), consume(2)
		settle()
		for n := range uint64(aggregates) {
			w.write(n+1, "x")
		}
		settle()
		stopFirst()
		for n := range uint64(aggregates) {
			w.write(n+1, "x")
		}
		settle()
		stopSecond()
		handled := make(map[int]int)
		for key, who := range by {
			if len(who) != 2 || who[1] != 2 {
				t.Errorf("%v was handled by %v", key, who)
			}
			handled[who[0]]++
		}
		if len(by) != aggregates || handled[1] < aggregates/8 || handled[2] < aggregates/8 {
			t.Errorf("%d aggregates; first batches: %v", len(by), handled)
		}
	})
}
