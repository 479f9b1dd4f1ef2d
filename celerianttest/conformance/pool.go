package conformance

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// rule is one case of the suite.
type rule struct {
	name  string
	check func(t *testing.T, w *world)
	// needs tells what the target must offer; nil means nothing.
	needs func(w *world) bool
	// waits tells that the case waits for the server's clock most of the time.
	waits bool
}

// Pool tests what a client relies on that sends requests, in both versions of
// the protocol. A cluster is used through its seeds and must have a leader.
func Pool(t *testing.T, target Target) {
	t.Helper()
	var both sync.WaitGroup
	defer both.Wait()
	for _, version := range []int{2, 3} {
		both.Go(func() {
			t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
				follow(t, target, version, slices.Concat(writeRules, readRules, lifeRules, listRules, watchRules, schemaRules, clientRules, leaderRules))
			})
		})
	}
}

// follow checks the rules that apply to a target, each in a world of its own:
// those that wait all at once, for which t.Parallel would have too few places,
// and meanwhile the others one by one.
func follow(t *testing.T, target Target, version int, rules []rule) {
	t.Helper()
	probe := newWorld(t, target, version)
	run := func(r rule) {
		t.Run(r.name, func(t *testing.T) { r.check(t, newWorld(t, target, version)) })
	}
	rules = slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return r.needs != nil && !r.needs(probe) })
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, r := range rules {
		if r.waits {
			waiting.Go(func() { run(r) })
		}
	}
	for _, r := range rules {
		if !r.waits {
			run(r)
		}
	}
}
