package shard_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// filled writes batches of one 100-byte event round robin over aggregates.
func filled(t testing.TB, o shard.Options, aggregates, batches int) *shard.Shard {
	s := shard.New(o)
	value := make([]byte, 100)
	for i := range batches {
		_, no := s.Write(&msg.WriteRequest{ClientID: id(1), Writes: []msg.AggregateWrite{{Key: key(uint64(i % aggregates)),
			Events: []msg.Event{{ClientSeq: uint64(i + 1), Major: 1, Value: value}}, EnforceIdempotency: true}}}, uint64(i))
		if no != nil {
			t.Fatal(no)
		}
		s.Commit(s.Tail())
	}
	return s
}

// A page of an aggregate of 100,000 batches costs what a page costs: the
// number of allocations depends neither on where it begins nor on how long
// the aggregate is.
func TestPageCostsAPage(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		short, long := filled(t, shard.Options{Quirks: quirks}, 1, 20), filled(t, shard.Options{Quirks: quirks}, 1, 100_000)
		allocations := func(s *shard.Shard, from uint64) float64 {
			req := &msg.ReadRequest{Key: key(0), Filters: msg.ReadFilters{From: from, To: msg.Some(from + 9)}}
			return testing.AllocsPerRun(20, func() {
				if resp, _, no := s.Read(req); no != nil || len(resp.Batches) != 10 {
					t.Fatalf("%v, %+v", no, resp)
				}
			})
		}
		want := allocations(short, 1)
		for _, from := range []uint64{1, 50_000, 99_991} {
			if got := allocations(long, from); got > want {
				t.Errorf("from %d: %v allocations, %v in a short aggregate", from, got, want)
			}
		}
	})
}

// Cold lookups after a restart walk the log once between them, not once each.
func TestColdLookupsWalkTheLogOnce(t *testing.T) {
	const aggregates = 50_000
	s := filled(t, shard.Options{Quirks: true}, aggregates, 2*aggregates)
	for i := range uint64(aggregates) { // tombstones are never remembered on the way
		if _, no := s.Delete(&msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key(i)}}}, 1); no != nil {
			t.Fatal(no)
		}
	}
	s.Commit(s.Tail())
	s.Restart()
	for i := aggregates - 1; i >= 0; i-- { // 5·10⁴ lookups; walking each time would be 10⁹ steps
		if d, no := s.Details(&msg.DetailsRequest{Key: key(uint64(i))}); no != nil || !d.Deleted {
			t.Fatalf("%d: %+v, %v", i, d, no)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, aggregates := range []int{1, 200_000} {
		b.Run(fmt.Sprintf("aggregates=%d", aggregates), func(b *testing.B) {
			s := shard.New(shard.Options{})
			value := make([]byte, 100)
			b.ReportAllocs()
			for i := range b.N {
				_, no := s.Write(&msg.WriteRequest{ClientID: id(1), Writes: []msg.AggregateWrite{{Key: key(uint64(i % aggregates)),
					Events: []msg.Event{{ClientSeq: uint64(i + 1), Major: 1, Value: value}}}}}, uint64(i))
				if no != nil {
					b.Fatal(no)
				}
				s.Commit(s.Tail())
			}
		})
	}
}

func BenchmarkReadPage(b *testing.B) {
	s := filled(b, shard.Options{}, 1, 100_000)
	for _, from := range []uint64{1, 99_900} {
		b.Run(fmt.Sprintf("from=%d", from), func(b *testing.B) {
			b.ReportAllocs()
			req := &msg.ReadRequest{Key: key(0), Filters: msg.ReadFilters{From: from, To: msg.Some(from + 99)}}
			for range b.N {
				if _, _, no := s.Read(req); no != nil {
					b.Fatal(no)
				}
			}
		})
	}
}

// BenchmarkMemory reports what an aggregate and a batch take, payload included.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range b.N {
		before := heap()
		many := filled(b, shard.Options{}, 200_000, 200_000)
		middle := heap()
		long := filled(b, shard.Options{}, 1, 100_000)
		after := heap()
		b.ReportMetric(float64(middle-before)/200_000, "B/aggregate")
		b.ReportMetric(float64(after-middle)/100_000, "B/batch")
		runtime.KeepAlive(many)
		runtime.KeepAlive(long)
	}
}
