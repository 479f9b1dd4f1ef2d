package checkpointtest

import (
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// Benchmark measures saves of 1 and of 512 cursors that all move, plain and
// compared with what they follow, look-ups of 1,000, all in a subscription of
// 10,000, and a scan of 200,000.
func Benchmark(b *testing.B, open func(t testing.TB) Fixture) {
	const size = 10_240
	for _, c := range []struct {
		name    string
		count   int
		compare bool
	}{{"Save1", 1, false}, {"Save512", 512, false}, {"Compare512", 512, true}} {
		b.Run(c.name, func(b *testing.B) {
			s := start(b, open(b))
			owner := s.acquire(name)
			s.save(owner, many(0, size, 1)...)
			first, version := 0, uint64(2)
			b.ReportAllocs()
			for b.Loop() {
				entries := many(first, c.count, version)
				for i := range entries {
					entries[i].From, entries[i].Compare = cursor(0, version-1), c.compare
				}
				s.save(owner, entries...)
				if first += c.count; first == size {
					first, version = 0, version+1
				}
			}
		})
	}
	b.Run("Load1000", func(b *testing.B) {
		s := start(b, open(b))
		s.save(s.acquire(name), many(0, size, 1)...)
		keys := make([]msg.Key, 1000)
		for i := range keys {
			keys[i] = key(i * 10)
		}
		b.ReportAllocs()
		for b.Loop() {
			s.load(name, keys)
		}
	})
	b.Run("Scan", func(b *testing.B) {
		const all = 1_000_000
		s := start(b, open(b))
		owner := s.acquire(name)
		for first := 0; first < all; first += 10_000 {
			s.save(owner, many(first, 10_000, 1)...)
		}
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for _, err := range s.store.Scan(s.ctx, name) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != all {
				b.Fatalf("scanned %d", n)
			}
		}
		b.ReportMetric(float64(b.N)*all/b.Elapsed().Seconds(), "cursors/s")
	})
}
