package checkpointtest

import (
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// Benchmark measures saves of 1, 100 and 1000 cursors that all move, and a
// look-up of 1000, in a subscription of 10,000.
func Benchmark(b *testing.B, open func(t testing.TB) Fixture) {
	const size = 10_000
	for _, count := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("Save%d", count), func(b *testing.B) {
			s := start(b, open(b))
			owner := s.acquire(name)
			s.save(owner, many(0, size, 1)...)
			from, version := 0, uint64(2)
			b.ReportAllocs()
			for b.Loop() {
				s.save(owner, many(from, count, version)...)
				if from += count; from == size {
					from, version = 0, version+1
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
}
