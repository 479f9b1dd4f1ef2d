package stream_test

import (
	"context"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// BenchmarkStartsFromNow has 100 subscriptions of a shared source begin now over 3,000
// aggregates at once, until all are live.
func BenchmarkStartsFromNow(b *testing.B) {
	const subscriptions, aggregates = 100, 3000
	node := celerianttest.Run(b, celerianttest.Options{})
	p := benchPool(b, pool.Options{Address: node.Addr()})
	typ := fill(b, p, aggregates, 1, 1)
	b.ReportAllocs()
	var all spent
	for b.Loop() {
		all.on(func() { startsFromNow(b, p, typ, subscriptions) })
	}
	b.ReportMetric(all.cpu.Seconds()/float64(b.N), "cpu-s/op")
}

func startsFromNow(b *testing.B, p *pool.Pool, typ msg.ID, subscriptions int) {
	shared := stream.Share(stream.FromPool(p))
	var starts sync.WaitGroup
	for range subscriptions {
		starts.Go(func() {
			s, err := stream.Open(b.Context(), shared, stream.Types(org, typ), stream.Options{Start: stream.FromNow})
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = s.Close(context.Background()) }()
			for {
				changes, err := s.Next(b.Context())
				if err != nil {
					b.Error(err)
					return
				}
				for _, c := range changes {
					if c.Kind == stream.CaughtUp {
						return
					}
				}
			}
		})
	}
	starts.Wait()
	stats := shared.Stats()
	b.ReportMetric(float64(stats.Asked), "asked")
	b.ReportMetric(float64(stats.Sent), "sent")
	_ = shared.Close(context.Background())
}
