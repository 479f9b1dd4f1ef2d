package gateway_test

import (
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/client"
	"github.com/celeriant/celeriant-go/stream"
)

// A held aggregate rests, others go on; released, it goes on behind what is stored,
// also what was delivered before and not committed, and whatever connections were
// lost meanwhile.
func TestHoldAndRelease(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := newWorld(t, gateway.Options{})
		front := newProxy(t, w.address)
		w.write(1, "a", "b", "c")
		c, err := client.Connect(front.address(), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sub, err := c.Watch(stream.Types(org, typ), client.WatchOptions{}).Subscribe(w.context())
		if err != nil {
			t.Fatal(err)
		}
		defer closeIn(t, sub.Close)
		next := func(n int, commit bool) (seen []string) {
			for len(seen) < n {
				changes, err := sub.Next(w.context())
				if err != nil {
					t.Fatal(err)
				}
				for i := range changes {
					if changes[i].Kind != stream.CaughtUp {
						seen = append(seen, short(&changes[i]))
					}
				}
				if commit {
					if err := sub.Commit(w.context(), stream.Entries(changes)); err != nil {
						t.Fatal(err)
					}
				}
			}
			return seen
		}
		if seen := next(3, false); !slices.Equal(seen, []string{"1.1", "1.2", "1.3"}) {
			t.Fatalf("delivered %v", seen)
		}
		sub.Hold(keyOf(1))
		if lost && front.cut() == 0 {
			t.Fatal("there was no connection to cut")
		}
		w.write(1, "d")
		w.write(2, "x")
		if seen := next(1, true); !slices.Equal(seen, []string{"2.1"}) {
			t.Errorf("while held (connection lost %v): %v", lost, seen)
		}
		sub.Release(keyOf(1))
		if seen := next(4, true); !slices.Equal(seen, []string{"1.1", "1.2", "1.3", "1.4"}) {
			t.Errorf("released (connection lost %v): %v", lost, seen)
		}
		sub.Redo(keyOf(1))
		if seen := next(5, true); !slices.Equal(seen, []string{"reset", "1.1", "1.2", "1.3", "1.4"}) {
			t.Errorf("redone (connection lost %v): %v", lost, seen)
		}
	}
}

// An acknowledgement of what a hold has voided meanwhile is no mistake.
func TestLateAcknowledgementsOfHeldDeliveries(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	sub := subscribe(t, w, client.WatchOptions{})
	changes, err := sub.Next(w.context())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		sub.Hold(keyOf(1))
		sub.Release(keyOf(1))
		if err := sub.Commit(w.context(), stream.Entries(changes)); err != nil {
			t.Fatal(err)
		}
		w.write(1, "x")
		for {
			if changes, err = sub.Next(w.context()); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(changes, func(c stream.Change) bool { return c.Kind == stream.Batch }) {
				break
			}
		}
	}
	if n := sub.Stats().Reconnects; n != 0 {
		t.Errorf("the gateway ended %d connections", n)
	}
}
