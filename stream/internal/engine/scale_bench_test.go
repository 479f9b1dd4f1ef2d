package engine_test

import (
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// sizes are how many lanes wait and how many shards there are: what a change costs, and
// what statistics and the word of a node cost, depends on neither.
var sizes = []struct{ lanes, shards int }{{0, 1}, {30_000, 1}, {0, 8_000}, {30_000, 8_000}}

// newCrowd is a live engine of so many shards, in which so many lanes wait to be read
// again: the node answers for them what no lane can believe.
func newCrowd(tb testing.TB, lanes, shards int) *steady {
	s := newSteadyOf(tb, shards)
	frame := make([]msg.Notification, 0, lanes)
	for i := range lanes {
		frame = append(frame, wrote(keyNumber(1000+i), 1, 2))
	}
	s.e.Frame(s.now, link(0), 1, frame)
	odd := engine.Page{Batches: []msg.Batch{in("x", 2), in("x", 1)}, Authoritative: true}
	for commands := s.e.Commands(); len(commands) > 0; commands = s.e.Commands() {
		for i := range commands {
			switch c := commands[i]; c.Kind {
			case engine.Load:
				s.e.Loaded(s.now, c.ID, make([]checkpoint.Cursor, len(c.Keys)))
			case engine.Read:
				s.e.PageRead(s.now, c.ID, odd)
			}
		}
	}
	if stats := s.e.Stats(s.now); stats.Dirty != lanes || stats.Subscribed != shards {
		tb.Fatalf("%d lanes wait, of %d, and %d shards stand, of %d", stats.Dirty, lanes, stats.Subscribed, shards)
	}
	return s
}

func benchSizes(b *testing.B, run func(b *testing.B, s *steady)) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("lanes=%d/shards=%d", size.lanes, size.shards), func(b *testing.B) {
			s := newCrowd(b, size.lanes, size.shards)
			b.ReportAllocs()
			run(b, s)
		})
	}
}

// BenchmarkFollowInCrowd is BenchmarkFollow beside lanes that wait.
func BenchmarkFollowInCrowd(b *testing.B) {
	frame, cursors, page, entries := followed()
	benchSizes(b, func(b *testing.B, s *steady) {
		lanes := s.e.Lanes()
		for b.Loop() {
			s.take(b, frame, cursors, page, entries, lanes)
		}
	})
}

// BenchmarkStats is what statistics cost.
func BenchmarkStats(b *testing.B) {
	benchSizes(b, func(b *testing.B, s *steady) {
		for b.Loop() {
			s.e.Stats(s.now)
			s.e.Unhandled()
		}
	})
}

// BenchmarkLeaderChecked is what the word of the node watched costs, every two seconds.
func BenchmarkLeaderChecked(b *testing.B) {
	benchSizes(b, func(b *testing.B, s *steady) {
		s.e.LeaderChecked(s.now, watchedNode, engine.Leading, false)
		for b.Loop() {
			s.e.LeaderChecked(s.now, watchedNode, engine.Leading, false)
		}
	})
}

// TestCostOfACrowd holds a step to the allocations that it has alone.
func TestCostOfACrowd(t *testing.T) {
	s := newCrowd(t, 3_000, 500)
	frame, cursors, page, entries := followed()
	lanes := s.e.Lanes()
	s.take(t, frame, cursors, page, entries, lanes)
	if n := testing.AllocsPerRun(100, func() { s.take(t, frame, cursors, page, entries, lanes) }); n > 0 {
		t.Errorf("%v allocations for a batch beside lanes that wait", n)
	}
	if n := testing.AllocsPerRun(100, func() { s.e.Stats(s.now); s.e.Unhandled() }); n > 0 {
		t.Errorf("%v allocations for statistics", n)
	}
}
