package celeriant_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

const benchBatches = 20_000

// BenchmarkViews catches up with 20,000 batches, by each view.
func BenchmarkViews(b *testing.B) {
	node := celerianttest.Run(b, celerianttest.Options{})
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close(context.Background())
	events := []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 100)}}
	for i := range uint64(benchBatches) {
		if _, err := client.WriteEvents(b.Context(), keyOf(i%100), events, clientID); err != nil {
			b.Fatal(err)
		}
	}
	o := client.Watch(celeriant.Everything())
	views := []struct {
		name string
		run  func(ctx context.Context, seen func(caughtUp bool))
	}{
		{"All", func(ctx context.Context, seen func(bool)) {
			for c, err := range o.All(ctx) {
				if err != nil {
					return
				}
				seen(c.Kind == celeriant.CaughtUp)
			}
		}},
		{"operators.ForEach", func(ctx context.Context, seen func(bool)) {
			_ = operators.ForEach(ctx, o, func(_ context.Context, c celeriant.Change) error {
				seen(c.Kind == celeriant.CaughtUp)
				return nil
			})
		}},
		{"rxgo", func(ctx context.Context, seen func(bool)) {
			<-o.ForEach(func(v any) { seen(v.(*celeriant.Change).Kind == celeriant.CaughtUp) }, func(error) {}, func() {}, rxgo.WithContext(ctx))
		}},
		{"rxgo Slices", func(ctx context.Context, seen func(bool)) {
			<-o.Slices().ForEach(func(v any) {
				for _, c := range v.([]celeriant.Change) {
					seen(c.Kind == celeriant.CaughtUp)
				}
			}, func(error) {}, func() {}, rxgo.WithContext(ctx))
		}},
	}
	for _, v := range views {
		b.Run(v.name, func(b *testing.B) {
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				n := 0
				v.run(ctx, func(caughtUp bool) {
					n++
					if caughtUp {
						cancel()
					}
				})
				cancel()
				if n <= benchBatches {
					b.Fatal(fmt.Errorf("%d changes", n))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatches), "ns/change")
		})
	}
}
