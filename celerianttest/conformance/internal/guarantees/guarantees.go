package guarantees

import "github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"

// guarantee is one of G1 to G15 with its cases.
type guarantee struct {
	Name  string
	Rules []world.Rule
}

// All are all of them, in order.
var All = []guarantee{
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
