package stream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// BenchmarkRestart is the time from the moment a node answers again to Live,
// after outages of different length; watched is from the moment its first watch
// was acknowledged, so that backoffs are left out.
func BenchmarkRestart(b *testing.B) {
	for _, shards := range []int{1, 64} {
		for _, outage := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second} {
			b.Run(fmt.Sprintf("%d shards, %v away", shards, outage), func(b *testing.B) {
				node, err := celerianttest.Start(celerianttest.Options{Shards: shards})
				if err != nil {
					b.Fatal(err)
				}
				defer node.Close()
				p := benchPool(b, pool.Options{Address: node.Addr()})
				typ := fill(b, p, 1000, 1, 1)
				phases := make(chan stream.State, 4096)
				s := subscribe(b, stream.FromPool(p), typ, stream.Options{
					Store: checkpoint.NewMemory(), OnState: func(s stream.State) { phases <- s },
				})
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					_ = s.Run(ctx, func(context.Context, stream.Change) error { return nil })
				}()
				defer func() { cancel(); <-done }()
				reach := func(p stream.Phase) time.Time {
					for {
						if s := <-phases; s.Phase == p {
							return s.Since
						}
					}
				}
				reach(stream.Live)
				var toLive, watched time.Duration
				for b.Loop() {
					node.Kill()
					reach(stream.Reconnecting)
					time.Sleep(outage)
					if err := node.Restart(); err != nil {
						b.Fatal(err)
					}
					answers := time.Now()
					for s.Stats().Subscribed == 0 {
						time.Sleep(100 * time.Microsecond)
					}
					first := time.Now()
					live := reach(stream.Live)
					toLive += live.Sub(answers)
					watched += live.Sub(first)
				}
				b.ReportMetric(float64(toLive.Microseconds())/1e3/float64(b.N), "ms-to-live")
				b.ReportMetric(float64(watched.Microseconds())/1e3/float64(b.N), "ms-watched-to-live")
			})
		}
	}
}
