package engine_test

import (
	"math/rand/v2"
	"time"

	"pgregory.net/rapid"
)

// settings shape one simulated run. Everything else follows from the seed.
type settings struct {
	Seed                                      uint64
	Keys, Strangers, Shards, Parts, Steps     int
	Explicit, ContinueOnly, Followers, Quirks bool
	Latency, Reconcile                        time.Duration
	Readers, MaxLanes, Recent                 int
	Buffer                                    int64
	Responses, Accepts                        int64
	Oversize, Removals, Trims, Group          int // percent, percent, percent, most operations at once
	Faults, Cuts, Restarts, Kills             int // percent of requests; percent of steps
	Nodes, Elections, Freezes                 int // percent of steps
	Probe, MaxLag                             time.Duration
	Consumer                                  int  // 0 quick, 1 moody, 2 slow
	Lag, Pause, Segment, PageSize, BatchBytes int  // ms, ms, records, items, bytes
	ReadLag                                   int  // ms
	Holds, Redos, Moves                       int  // percent of steps
	Partitions                                int  // 0 for none
	Routed                                    bool // a partition's shard is known
}

// dice decides; the property test shrinks what it decided.
type dice interface {
	between(name string, low, high int) int
}

type seededDice struct{ rng *rand.Rand }

func (d seededDice) between(_ string, low, high int) int { return low + d.rng.IntN(high-low+1) }

type rapidDice struct{ t *rapid.T }

func (d rapidDice) between(name string, low, high int) int {
	return rapid.IntRange(low, high).Draw(d.t, name)
}

// draw makes the settings of one run.
func draw(d dice) settings {
	s := settings{
		Seed:       uint64(d.between("seed", 0, 1<<30)),
		Keys:       d.between("keys", 1, 6),
		Strangers:  d.between("strangers", 0, 2),
		Shards:     d.between("shards", 1, 3),
		Parts:      d.between("parts", 1, 2),
		Steps:      d.between("steps", 1, 150),
		Readers:    d.between("readers", 1, 4),
		MaxLanes:   1000,
		Removals:   d.between("removals", 0, 30),
		Trims:      d.between("trims", 0, 30),
		Group:      d.between("group", 1, 4),
		Consumer:   d.between("consumer", 0, 2),
		Segment:    d.between("segment", 2, 40),
		PageSize:   d.between("page size", 1, 4),
		BatchBytes: d.between("batch bytes", 8, 700),
		Responses:  int64(d.between("responses", 1000, 6000)),
		Pause:      d.between("pause", 1, 400),
	}
	flip := func(name string, percent int) bool { return d.between(name, 0, 99) >= 100-percent }
	s.Explicit = flip("explicit", 30)
	s.ContinueOnly = flip("continue only", 25)
	slow := flip("slow followers", 25)
	s.Quirks = flip("quirks", 50)
	if slow {
		s.Lag = d.between("lag", 0, 3000)
	}
	if flip("latency", 40) {
		s.Latency = time.Duration(d.between("latency ms", 1, 2000)) * time.Millisecond
	}
	if flip("reconcile", 20) {
		s.Reconcile = time.Duration(d.between("reconcile s", 5, 60)) * time.Second
	}
	if flip("few lanes", 20) {
		s.MaxLanes = d.between("lanes", 1, 4)
	}
	s.Buffer = int64(d.between("buffer", 1, 40)) << 10
	s.Accepts = s.Responses
	switch d.between("sizes", 0, 9) {
	case 9:
		s.Oversize = d.between("oversize", 1, 8)
	case 8:
		s.Accepts = s.Responses / 2
		s.Oversize = d.between("oversize", 0, 4)
	}
	if flip("faults", 60) {
		s.Faults = d.between("failing", 1, 25)
		s.Cuts = d.between("cuts", 0, 10)
		s.Restarts = d.between("restarts", 0, 5)
		s.Kills = d.between("kills", 0, 5)
	}
	drawNodes(d, &s)
	if flip("reads lag", 25) {
		// A change that is shown late is looked for in the first page of a list.
		s.ReadLag, s.Segment = d.between("read lag", 1, 500), 100_000
	}
	if flip("cursors at rest", 60) {
		s.Recent = d.between("held", 1, 8)
	}
	if flip("consumer's wishes", 40) {
		s.Holds, s.Redos = d.between("holds", 0, 15), d.between("redos", 0, 5)
	}
	if flip("partitions", 25) {
		s.Partitions, s.Moves = d.between("number of partitions", 1, 4), d.between("moves", 1, 10)
		if s.Routed = flip("routed", 50); s.Routed {
			s.Partitions *= s.Shards
		}
	}
	return s
}

// drawNodes makes a node that stands alone, or a pair whose leader is watched and
// deposed without a sign, or one of which the follower is watched.
func drawNodes(d dice, s *settings) {
	kind := d.between("nodes", 0, 9)
	s.Nodes = 1
	if kind == 0 {
		return
	}
	s.Probe = time.Duration(d.between("probe ms", 1000, 3000)) * time.Millisecond
	s.MaxLag = time.Duration(d.between("max lag ms", 500, 6000)) * time.Millisecond
	if kind == 1 {
		s.Followers = d.between("followers", 0, 1) == 1
		return
	}
	s.Nodes, s.Followers = 2, kind >= 7
	s.Elections = d.between("elections", 0, 6)
	s.Freezes = d.between("freezes", 0, 6)
	if s.Lag == 0 {
		s.Lag = d.between("short lag", 0, 300)
	}
	if s.Followers && s.Freezes > 0 && s.Reconcile == 0 {
		// A change behind the first page of a list is found by the next reconcile.
		s.Reconcile = time.Minute
	}
	if d.between("one segment", 0, 1) == 1 {
		s.Segment = 100_000 // a list has one page
	}
}

func seeded(seed uint64) settings { return draw(seededDice{rand.New(rand.NewPCG(seed, 1))}) }

// coverage counts what happened, to see that faults fired and paths ran.
type coverage map[string]int

func (c coverage) add(other coverage) {
	for what, n := range other {
		c[what] += n
	}
}
