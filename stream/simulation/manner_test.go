package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// manner is what is particular about a consumer; the first one has none.
type manner struct {
	Roams   bool // its scope changes while it runs
	FromNow bool
	Sloth   bool // until all is calm, it takes long over everything
	Panics  bool // its handler does
}

func mannerOf(set *settings, consumer int) manner {
	r := rand.New(rand.NewPCG(set.Seed, 'm'<<8|uint64(consumer)))
	m := manner{Roams: r.IntN(2) == 0, FromNow: r.IntN(3) == 0, Sloth: set.Shared && r.IntN(4) == 0, Panics: r.IntN(3) == 0}
	if consumer == 0 {
		m.Roams, m.FromNow, m.Sloth = false, false, false
	}
	return m
}

// oversizes tells whether batches are written that no answer of a node can hold.
func (s *settings) oversizes() bool {
	return s.Node.MaxResponseSize > 0 && s.Node.SegmentBytes == 0 && s.Seed%3 > 0
}

// wanted is what must have happened in eighty runs, lest they prove nothing of it.
var wanted = []string{
	"members added", "members removed", "members added again",
	"members of a shared source added", "members of a shared source removed",
	"changes of members added", "changes of members added again",
	"starts made", "cursors to start behind", "changes behind a start",
	"members added from now",
	"oversize batches announced", "aggregates freed of a batch too large", "changes of others while an aggregate is parked", "changes behind an oversize batch",
	"handlers that panicked", "runs that went on behind a panic", "panics at a shared source",
	"changes while another one of the source was slow", "processes that left a shared source",
}

// missing says which of them has not.
func missing(total map[string]int) string {
	never := slices.DeleteFunc(slices.Clone(wanted), func(what string) bool { return total[what] > 0 })
	if len(never) == 0 {
		return ""
	}
	return fmt.Sprintf("it never happened: %s", strings.Join(never, ", "))
}
