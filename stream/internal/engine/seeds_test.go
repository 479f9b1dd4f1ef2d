package engine_test

import (
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// seeds is how many fixed runs there are; the property test draws others.
var seeds = 400

// campaign makes the fixed runs once: the first failure, and what happened.
var campaign = sync.OnceValues(func() (failure string, seen coverage) {
	seen = make(coverage)
	for seed := range uint64(seeds) {
		problem, one := simulate(seeded(seed), nil)
		if problem != "" {
			return explain(seed, problem), seen
		}
		seen.add(one)
	}
	return "", seen
})

// explain runs a seed again and shows what led to the failure.
func explain(seed uint64, problem string) string {
	var log strings.Builder
	set := seeded(seed)
	simulate(set, &log)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	lines = lines[max(0, len(lines)-80):]
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	b.WriteString(problem)
	return "seed " + itoa(seed) + ":\n" + b.String()
}

func itoa(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// TestSeeds runs the engine against a simulated node and checks every promise.
func TestSeeds(t *testing.T) {
	if failure, _ := campaign(); failure != "" {
		t.Fatal(failure)
	}
}

// TestProperty draws other runs than the fixed ones and shrinks what fails.
func TestProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := draw(rapidDice{t})
		if problem, _ := simulate(set, nil); problem != "" {
			t.Fatalf("%+v: %s", set, problem)
		}
	})
}
