package await

import (
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// A waiter is in the hub that commits signal to, whoever leaves while it joins.
func TestJoiningIsOneStep(t *testing.T) {
	store := checkpoint.NewMemory()
	var working sync.WaitGroup
	for n := range uint64(4) {
		working.Go(func() {
			for range 3000 {
				s := join(store, "orders", msg.Key{Aggregate: msg.IDFromUint64(n)}, 1)
				hubs.Lock()
				if hubs.of[store] != s.hub {
					t.Error("the waiter is in a hub that nobody signals to")
				}
				hubs.Unlock()
				s.hub.leave("orders", s)
			}
		})
	}
	working.Wait()
	hubs.Lock()
	defer hubs.Unlock()
	if len(hubs.of) != 0 {
		t.Errorf("%d hubs are left", len(hubs.of))
	}
}
