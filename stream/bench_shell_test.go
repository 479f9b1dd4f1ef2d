package stream_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// depth is a crowd whose aggregates have more than one batch.
type depth struct {
	*crowd
	batches []msg.Batch
}

func newDepth(shards, each, batches int) depth {
	d := depth{crowd: newCrowd(shards, each), batches: make([]msg.Batch, batches)}
	for i := range d.batches {
		d.batches[i] = d.batch
		d.batches[i].Version = uint64(i + 1)
	}
	return d
}

func (d depth) Read(_ context.Context, _ string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	d.reads.Add(1)
	to := min(req.Filters.To.Or(uint64(len(d.batches))), uint64(len(d.batches)))
	return &msg.ReadResponse{Batches: d.batches[max(1, req.Filters.From)-1 : to]}, nil
}

// BenchmarkShell is what a subscription itself costs on the way of a batch from
// a node that takes no time to a consumer that does nothing: loop, engine,
// goroutines and mailbox.
func BenchmarkShell(b *testing.B) {
	for _, shape := range []struct{ shards, each, batches int }{{1, 20_000, 1}, {64, 300, 1}, {1, 200, 1000}} {
		b.Run(fmt.Sprintf("%d shards of %d aggregates of %d", shape.shards, shape.each, shape.batches), func(b *testing.B) {
			source := newDepth(shape.shards, shape.each, shape.batches)
			want := shape.shards * shape.each * shape.batches
			b.ReportAllocs()
			for b.Loop() {
				s, err := stream.Open(b.Context(), source, stream.Everything(), stream.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if n := toLive(b, s); n != want {
					b.Fatalf("%d events, want %d", n, want)
				}
				_ = s.Close(context.Background())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*want), "ns/batch")
			b.ReportMetric(float64(source.reads.Load())/float64(b.N*shape.shards*shape.each), "reads/aggregate")
		})
	}
}

// BenchmarkShellLive is the same for one batch that is notified, from the
// notification to the handler and the commit behind it.
func BenchmarkShellLive(b *testing.B) {
	for _, shards := range []int{1, 64} {
		b.Run(fmt.Sprint(shards, " shards"), func(b *testing.B) {
			source := newLively(shards)
			s, err := stream.Open(b.Context(), source, stream.Everything(), stream.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(context.Background())
			handled := make(chan uint64)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = s.Run(ctx, func(_ context.Context, c stream.Change) error {
					handled <- c.Batch.Version
					return nil
				})
			}()
			defer func() { cancel(); <-done }()
			for version := range handled {
				if version == 0 {
					break // caught up
				}
			}
			frame := make([]msg.Notification, 1)
			cpu := used()
			b.ReportAllocs()
			for b.Loop() {
				head := source.head.Add(1)
				frame[0] = msg.Notification{Key: source.key(0, 0), Operation: msg.OpWrite, From: msg.Some(head), To: msg.Some(head)}
				source.hints <- frame
				if version := <-handled; version != head {
					b.Fatalf("version %d came, want %d", version, head)
				}
			}
			b.ReportMetric(float64((used()-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// lively is a crowd of one aggregate that goes on being written to.
type lively struct {
	*crowd
	head atomic.Uint64
}

func newLively(shards int) *lively {
	l := &lively{crowd: newCrowd(shards, 1)}
	l.head.Store(1)
	return l
}

func (l *lively) Read(_ context.Context, _ string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	page := &msg.ReadResponse{}
	for v := req.Filters.From; v <= l.head.Load(); v++ {
		batch := l.batch
		batch.Version = v
		page.Batches = append(page.Batches, batch)
	}
	return page, nil
}
