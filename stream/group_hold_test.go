package stream_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// A partition that is asked for does not wait for an aggregate whose handler failed and
// which is on hold therefore.
func TestAHandOverDoesNotWaitForWhatIsOnHold(t *testing.T) {
	bubble(t, 2, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		for i := range 20 {
			writeOn(t, p, keyOf(i))
		}
		opts := stream.Options{Name: "orders", Ownership: stream.Leased, Store: checkpoint.NewMemory(), Partitions: 2}
		first := openOn(t, stream.FromPool(p), stream.Types(org, typ), opts)
		defer func() { _ = first.Close(context.Background()) }()
		var changes []stream.Change
		for len(changes) == 0 || changes[len(changes)-1].Kind != stream.CaughtUp {
			next, err := first.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			changes = append(changes, next...)
		}
		second := openOn(t, stream.FromPool(p), stream.Types(org, typ), opts)
		defer func() { _ = second.Close(context.Background()) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		// The first of each partition fails; the others are handled and stored.
		failed := make(map[uint32]bool)
		var handled []stream.Change
		for _, c := range changes {
			switch {
			case c.Kind != stream.Batch:
			case failed[c.Partition]:
				handled = append(handled, c)
			default:
				failed[c.Partition] = true
				first.Hold(c.Key)
			}
		}
		if len(failed) != 2 || len(handled) == 0 {
			t.Fatalf("%d partitions, %d changes handled: nothing can be shown", len(failed), len(handled))
		}
		if err := first.Commit(t.Context(), stream.Entries(handled)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		next, err := second.Next(ctx)
		if err != nil || next[0].Kind != stream.Gained {
			t.Errorf("the second member was given %v, %v", next, err)
		}
	})
}
