package world

import (
	"slices"
	"sync"
	"testing"
)

// Rule is one case of the suite.
type Rule struct {
	Name  string
	Check func(t *testing.T, w *World)
	// Needs tells what the target must offer; nil means nothing.
	Needs func(w *World) bool
	// Long tells that the case waits longer than the tests of a package should take
	// with -short, which leaves it out.
	Long bool
	// Waits tells that the case waits for the server's clock most of the time.
	Waits bool
}

// Follow checks the rules that apply to a target, each in a world of its own:
// those that wait all at once, for which t.Parallel would have too few places,
// and meanwhile the others one by one.
func Follow(t *testing.T, server Server, version int, rules []Rule) {
	t.Helper()
	probe := New(t, server, version)
	run := func(r Rule) {
		t.Run(r.Name, func(t *testing.T) { r.Check(t, New(t, server, version)) })
	}
	rules = slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool {
		return r.Needs != nil && !r.Needs(probe) || r.Long && testing.Short()
	})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, r := range rules {
		if r.Waits {
			waiting.Go(func() { run(r) })
		}
	}
	for _, r := range rules {
		if !r.Waits {
			run(r)
		}
	}
}
