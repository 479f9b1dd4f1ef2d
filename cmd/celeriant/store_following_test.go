package main_test

import (
	"os"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
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
				writeOrdersFrom(t, node, aggregates, run*versions, versions)
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
