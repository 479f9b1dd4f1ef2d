package conformance

import (
	"fmt"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/requests"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
)

// Pool tests what a client relies on that sends requests, in both versions of
// the protocol. A cluster is used through its seeds and must have a leader.
func Pool(t *testing.T, target Target) {
	t.Helper()
	var both sync.WaitGroup
	defer both.Wait()
	for _, version := range []int{2, 3} {
		both.Go(func() {
			t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
				world.Follow(t, target.server(), version, requests.Rules)
			})
		})
	}
}
