package conformance

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/guarantees"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/storm"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
)

// Stream tests what subscriptions promise: it lets storms pass and then looks
// at one guarantee after the other, in the records of the storms and in cases
// of its own. Promises that the server broke itself, so that no client could keep
// its own, are the subtest "server". Nodes are disturbed, if they can be, after everything else.
func Stream(t *testing.T, target Target) {
	t.Helper()
	to := target.server()
	var mu sync.Mutex
	found := make(map[string][]Violation) // by storm
	let := func(t *testing.T, s storm.Kind) {
		t.Run(s.Name, func(t *testing.T) {
			turns <- struct{}{}
			defer func() { <-turns }()
			record := s.Pass(t, world.New(t, to, to.StreamVersion), to.Seed+uint64(len(s.Name)))
			all, err := Recheck(bytes.NewReader(record))
			world.Must(t, err)
			if t.Failed() || len(all) > 0 {
				keep(t, s.Name, record)
			}
			mu.Lock()
			defer mu.Unlock()
			found[s.Name] = all
		})
	}
	t.Run("storms", func(t *testing.T) {
		var both sync.WaitGroup
		defer both.Wait()
		for _, s := range storm.All(to) {
			both.Go(func() { let(t, s) })
		}
	})
	for _, s := range storm.Disturbances(to) {
		let(t, s)
	}
	t.Run("server", func(t *testing.T) {
		for storm, violations := range found {
			for _, v := range violations {
				if v.Guarantee == "server" && !target.Lenient {
					t.Errorf("%s: %v", storm, v)
				} else if v.Guarantee == "server" {
					t.Logf("%s: %v", storm, v)
				}
			}
		}
	})
	var all sync.WaitGroup
	defer all.Wait()
	for _, g := range guarantees.All {
		all.Go(func() {
			t.Run(g.Name, func(t *testing.T) {
				id, _, _ := strings.Cut(g.Name, "_")
				for storm, violations := range found {
					broken := slices.DeleteFunc(slices.Clone(violations), func(v Violation) bool { return v.Guarantee != id })
					for _, v := range broken[:min(len(broken), 5)] { // the record has them all
						t.Errorf("%s, one of %d: %v", storm, len(broken), v)
					}
				}
				world.Follow(t, to, to.StreamVersion, g.Rules)
			})
		})
	}
}

// turns bounds the storms that pass at a time, over all targets: many of them at
// once on few processors get in each other's way more than each waits.
var turns = make(chan struct{}, 8)

// keep saves the record of a broken guarantee and says where.
func keep(t *testing.T, name string, record []byte) {
	t.Helper()
	f, err := os.CreateTemp("", "conformance-*.jsonl")
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.Write(record); err != nil {
		t.Error(err)
	}
	t.Logf("the record of the storm %q is in %s", name, f.Name())
}
