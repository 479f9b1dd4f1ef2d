package simulation_test

import "testing"

// Seeds that fail without something that was once missing.
func TestSimulationSeeds(t *testing.T) {
	for name, seed := range map[string]uint64{
		"a deposed leader's list is complete only if it still leads":       343,
		"a leader that was deposed without a sign is left":                 10,
		"a follower that lags shows another life up to the listed version": 72,
	} {
		t.Run(name, func(t *testing.T) { check(t, seed, false) })
	}
}
