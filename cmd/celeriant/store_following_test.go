package main_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/stores"
	"github.com/celeriant/celeriant-go/pool"
)

// TestForwardContinuesFromEveryPlace stops a forward in order and starts it again: the second one
// goes on behind the first.
func TestForwardContinuesFromEveryPlace(t *testing.T) {
	const aggregates, versions = 3, 2
	for kind, place := range placesOfTests(t) {
		t.Run(kind, func(t *testing.T) {
			node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
			service := newOutside(t)
			args := []string{
				"--address", node.Addr(), "--org", "1", "--type", "2", "--to", service.url, "--checkpoint", place, "--name", "forwarded", "--workers", "1",
			}
			for run := range 2 {
				writeOrders(t, connect(t, node.Addr()), aggregates, run*versions, versions)
				forward := startForward(t, args...)
				service.wait(t, aggregates*versions*(run+1))
				if status := forward.stop(t, os.Interrupt); status != 0 {
					t.Fatalf("status %d after an interrupt: %s", status, forward.stderr)
				}
			}
			service.checkOrder(t, aggregates, 2*versions)
			// The one worker may be interrupted while the answer to its last request is on its way.
			service.mu.Lock()
			defer service.mu.Unlock()
			if service.repeats > 1 {
				t.Errorf("%d events came again after a stop in order", service.repeats)
			}
		})
	}
}

// TestWatchContinuesFromEveryPlace does likewise with a watch, whose lines name what was written
// in between and nothing before.
func TestWatchContinuesFromEveryPlace(t *testing.T) {
	for kind, place := range placesOfTests(t) {
		t.Run(kind, func(t *testing.T) {
			node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
			client := connect(t, node.Addr())
			args := []string{"--address", node.Addr(), "--org", "1", "--checkpoint", place, "--name", "watched"}
			write(t, client, aggregate(7), "one")
			first := startWatch(t, args...)
			first.expect("7.1 one", "caught up")
			first.ends(os.Interrupt)
			write(t, client, aggregate(7), "two")
			second := startWatch(t, args...)
			second.expect("7.2 two", "caught up")
			second.ends(os.Interrupt)
		})
	}
}

// TestParkedInEveryPlace lists an aggregate that is parked, and asks for its release and its
// skipping, which the record then says.
func TestParkedInEveryPlace(t *testing.T) {
	for kind, place := range placesOfTests(t) {
		t.Run(kind, func(t *testing.T) {
			store, err := stores.OpenStore(t.Context(), place, pool.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(park(t.Context(), store), store.Close()); err != nil {
				t.Fatal(err)
			}
			on := []string{"--checkpoint", place, "--name", "orders"}
			if got := succeeded(t, append([]string{"parked", "list"}, on...)...); !strings.Contains(got, "version 14  4 attempts since") {
				t.Errorf("list says %q", got)
			}
			for _, asked := range []checkpoint.ParkedAction{checkpoint.ActionRelease, checkpoint.ActionSkip} {
				request := append(append([]string{"parked", string(asked)}, on...), parkedFlags...)
				if asked == checkpoint.ActionSkip {
					request = append(request, "--version", "14")
				}
				succeeded(t, request...)
				if got := succeeded(t, append(append([]string{"parked", "show", "--json"}, on...), parkedFlags...)...); !strings.Contains(got, string(asked)) {
					t.Errorf("after a request to %s it shows %q", asked, got)
				}
			}
		})
	}
}
