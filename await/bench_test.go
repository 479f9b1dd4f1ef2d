package await_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
)

// BenchmarkAwait is what waiting for one's own write adds to the commit, where the
// consumer is in the same process.
func BenchmarkAwait(b *testing.B) {
	w := newWorld(b)
	waiters := await.New(w, w)
	looks := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.loads
	}
	commits, behind := make([]time.Duration, b.N), make([]time.Duration, b.N)
	ended := make(chan error)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		version := uint64(i + 1)
		anew := batch(version, "")
		w.mu.Lock()
		w.log[version] = anew
		w.mu.Unlock()
		before := looks()
		go func() { ended <- waiters.Await(b.Context(), "orders", keyOf(1), version) }()
		for looks() == before {
			runtime.Gosched() // until it has looked in vain
		}
		began := time.Now()
		w.save(checkpoint.Mutation{Entries: []checkpoint.Entry{{Key: keyOf(1), Cursor: checkpoint.Cursor{Version: version, Anchor: checkpoint.AnchorOf(&anew)}}}})
		commits[i] = time.Since(began)
		await.Committed(w, "orders")
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		behind[i] = time.Since(began) - commits[i]
	}
	for name, times := range map[string][]time.Duration{"commit": commits, "behind": behind} {
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-"+name+"-ns")
		b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-"+name+"-ns")
	}
}
