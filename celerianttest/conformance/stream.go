package conformance

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Stream tests what subscriptions promise: it lets storms pass and then looks
// at one guarantee after the other, in the records of the storms and in cases
// of its own. What the server broke itself, so that no client could keep its
// promise, is the subtest "server". Nodes are disturbed, if they can be, after everything else.
func Stream(t *testing.T, target Target) {
	t.Helper()
	version := target.streamVersion()
	var mu sync.Mutex
	found := make(map[string][]Violation) // by storm
	let := func(t *testing.T, s stormKind) {
		t.Run(s.name, func(t *testing.T) {
			turns <- struct{}{}
			defer func() { <-turns }()
			record := s.pass(t, newWorld(t, target, version), target.Seed+uint64(len(s.name)))
			all, err := Recheck(bytes.NewReader(record))
			done(t, err)
			if t.Failed() || len(all) > 0 {
				keep(t, s.name, record)
			}
			mu.Lock()
			defer mu.Unlock()
			found[s.name] = all
		})
	}
	t.Run("storms", func(t *testing.T) {
		var both sync.WaitGroup
		defer both.Wait()
		for _, s := range storms(target) {
			both.Go(func() { let(t, s) })
		}
	})
	for _, s := range disturbances(target) {
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
	for _, g := range guarantees {
		all.Go(func() {
			t.Run(g.name, func(t *testing.T) {
				id, _, _ := strings.Cut(g.name, "_")
				for storm, violations := range found {
					broken := slices.DeleteFunc(slices.Clone(violations), func(v Violation) bool { return v.Guarantee != id })
					for _, v := range broken[:min(len(broken), 5)] { // the record has them all
						t.Errorf("%s, one of %d: %v", storm, len(broken), v)
					}
				}
				follow(t, target, version, g.rules)
			})
		})
	}
}

// turns bounds the storms that pass at a time, over all targets: many of them at
// once on few processors get in each other's way more than each waits.
var turns = make(chan struct{}, 8)

// guarantee is one of G1 to G15 with its cases.
type guarantee struct {
	name  string
	rules []rule
}

var guarantees = []guarantee{
	{"G1_ordered", orderedRules},
	{"G2_gapless", gaplessRules},
	{"G3_no_duplicate", duplicateRules},
	{"G4_atomic_batch", atomicRules},
	{"G5_resumable", resumeRules},
	{"G6_verified_resume", verifiedRules},
	{"G7_bookmarkable", bookmarkRules},
	{"G8_no_phantom", phantomRules},
	{"G9_complete_discovery", discoveryRules},
	{"G10_bounded_staleness", stalenessRules},
	{"G11_at_least_once", leastOnceRules},
	{"G12_exactly_once", exactlyOnceRules},
	{"G13_poison_isolation", poisonRules},
	{"G14_bounded_resources", resourceRules},
	{"G15_definite_termination", terminationRules},
}
