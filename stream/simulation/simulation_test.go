//go:debug randseednop=0
package simulation_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	oneSeed = flag.Int64("seed", -1, "simulate this seed only")
	runs    = flag.Uint64("runs", 80, "simulate this many seeds")
	first   = flag.Uint64("first", 1, "the first of them")
	repeats = flag.Uint64("repeats", 10, "repeat this many seeds")
	minutes = flag.Float64("minutes", 0, "simulate new seeds for so long instead")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Consumers are handed the true history, whatever goes wrong.
//
//covers:g1 g4 cuts halfopen leader followers demotion
func TestSimulation(t *testing.T) {
	if *oneSeed >= 0 {
		check(t, uint64(*oneSeed), true)
		return
	}
	last, until := *first+shorter(*runs), time.Time{}
	if *minutes > 0 {
		last, until = ^uint64(0), time.Now().Add(time.Duration(*minutes*float64(time.Minute)))
	}
	total := make(map[string]int)
	began, n := time.Now(), 0
	for seed := *first; seed < last; seed++ {
		if !until.IsZero() && time.Now().After(until) || t.Failed() && flag.Lookup("test.failfast").Value.String() == "true" {
			break
		}
		for what, count := range check(t, seed, false) {
			total[what] += count
		}
		n++
	}
	if problem := missing(total); problem != "" && n >= 80 {
		t.Error(problem)
	}
	t.Logf("%d seeds in %v: %v", n, time.Since(began).Round(time.Millisecond), total)
}

// shorter is how many seeds a run with -short takes of so many.
func shorter(seeds uint64) uint64 {
	if testing.Short() {
		return (seeds + 7) / 8
	}
	return seeds
}

// check simulates a seed and reports what was wrong.
func check(t *testing.T, seed uint64, verbose bool) map[string]int {
	t.Helper()
	out := simulate(t, seed)
	if verbose {
		t.Logf("%+v\n%s", settingsOf(seed), strings.Join(slices.DeleteFunc(out.log, isWake), "\n"))
	}
	if out.failure != "" {
		t.Errorf("seed %d: %s", seed, out.failure)
	}
	return out.counts
}

// A run is the same when it is repeated.
func TestSimulationRepeats(t *testing.T) {
	for seed := *first; seed < *first+shorter(*repeats); seed++ {
		a, b := simulate(t, seed), simulate(t, seed)
		if a.failure != b.failure {
			t.Errorf("seed %d failed with %q, and with %q", seed, a.failure, b.failure)
		}
		if difference := compare(a.log, b.log); difference != "" {
			t.Errorf("seed %d: %s", seed, difference)
		}
	}
}

// compare says where two logs differ, with what was before.
func compare(a, b []string) string {
	if slices.Equal(a, b) {
		return ""
	}
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	around := func(log []string) string { return strings.Join(log[max(0, i-12):min(len(log), i+3)], "\n") }
	return fmt.Sprintf("line %d of the log differs:\n%s\n--- and, repeated:\n%s", i+1, around(a), around(b))
}
