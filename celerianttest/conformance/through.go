package conformance

import (
	"bytes"
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/storm"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
)

// Subscription is the part of a subscription that [Through] uses: Next, Commit, Close and
// Err. Every [stream.Consumer] is one.
type Subscription = storm.Subscription

// Way is how to subscribe to a server otherwise than directly, for instance through a
// gateway. Its Open starts a subscription of a scope and may be called by several
// goroutines; of the options it must honour Name and Store. Forgets tells that nothing is
// stored: Store is not set, each subscription starts from the beginning, and it may fail
// to open or end while its way is disturbed.
type Way = storm.Way

// Through lets a storm pass over subscriptions that are made by other ways, one
// consumer for each, and demands that no guarantee is broken. disturb is called again
// and again while the storm lasts, by one goroutine: it does something to what is on the
// way, or to the server, and says what. When it returns an error the test fails.
//
// Phases are not judged: a bookmark must cover what was acknowledged before its
// subscription began.
func Through(t *testing.T, target Target, disturb func(context.Context) (string, error), ways ...Way) {
	t.Helper()
	to := target.server()
	record := storm.Through(ways, disturb).Pass(t, world.New(t, to, to.StreamVersion), to.Seed)
	all, err := Recheck(bytes.NewReader(record))
	world.Must(t, err)
	if t.Failed() || len(all) > 0 {
		keep(t, "through", record)
	}
	for _, v := range all[:min(len(all), 10)] {
		t.Errorf("one of %d: %v", len(all), v)
	}
}
