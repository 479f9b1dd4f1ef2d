package guarantees

import "github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"

// guarantee is one of G1 to G15 with its cases.
type guarantee struct {
	Name  string
	Rules []world.Rule
}

// All are all of them, in order.
var All = []guarantee{
	//covers:g1
	{"G1_ordered", orderedRules},
	//covers:g2
	{"G2_gapless", gaplessRules},
	//covers:g3
	{"G3_no_duplicate", duplicateRules},
	//covers:g4
	{"G4_atomic_batch", atomicRules},
	//covers:g5
	{"G5_resumable", resumeRules},
	//covers:g6 deletes
	{"G6_verified_resume", verifiedRules},
	//covers:g7
	{"G7_bookmarkable", bookmarkRules},
	//covers:g8 leader
	{"G8_no_phantom", phantomRules},
	//covers:g9
	{"G9_complete_discovery", discoveryRules},
	//covers:g10
	{"G10_bounded_staleness", stalenessRules},
	//covers:g11
	{"G11_at_least_once", leastOnceRules},
	//covers:g12
	{"G12_exactly_once", exactlyOnceRules},
	//covers:g13
	{"G13_poison_isolation", poisonRules},
	//covers:g14
	{"G14_bounded_resources", resourceRules},
	//covers:g15
	{"G15_definite_termination", terminationRules},
}
