package operators_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// supply is a consumer that delivers so many changes at once, and nothing behind them:
// what is measured is the operators alone.
type supply struct {
	stream.Consumer
	handlers stream.Handlers
	store    checkpoint.Store
	left     int
	versions []uint64
	done     chan struct{}
}

// newSupply delivers n changes of so many aggregates in turn.
func newSupply(n, aggregates int) *supply {
	return &supply{left: n, versions: make([]uint64, aggregates), store: plainStore{}, done: make(chan struct{})}
}

// plainStore keeps nothing.
type plainStore struct{ checkpoint.Store }

func (s *supply) Open(context.Context) (stream.Consumer, error) { return s, nil }

func (s *supply) Next(ctx context.Context) ([]stream.Change, error) {
	if s.left == 0 {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	changes := make([]stream.Change, min(s.left, 256))
	for i := range changes {
		at := s.left % len(s.versions)
		s.left--
		s.versions[at]++
		v := s.versions[at]
		changes[i] = stream.Change{
			Kind: stream.Batch, Key: keyOf(uint64(at)), Batch: msg.Batch{Version: v},
			Cursor: checkpoint.Cursor{Version: v}, Previous: checkpoint.Cursor{Version: v - 1},
		}
	}
	return changes, nil
}

func (s *supply) Commit(context.Context, []checkpoint.Entry) error { return nil }
func (s *supply) Committed([]checkpoint.Entry)                     {}
func (s *supply) Hold(...msg.Key)                                  {}
func (s *supply) Release(...msg.Key)                               {}
func (s *supply) Fail(error)                                       {}
func (s *supply) Close(context.Context) error                      { return nil }
func (s *supply) Done() <-chan struct{}                            { return s.done }
func (s *supply) Err() error                                       { return nil }
func (s *supply) Name() string                                     { return "supply" }
func (s *supply) Store() checkpoint.Store                          { return s.store }
func (s *supply) Owner() checkpoint.Owner                          { return checkpoint.Owner{Name: "supply", Epoch: 1} }
func (s *supply) State() stream.State                              { return stream.State{} }
func (s *supply) Stats() stream.Stats                              { return stream.Stats{} }
func (s *supply) Handlers() *stream.Handlers                       { return &s.handlers }
func (s *supply) ReportRetry(string, error, time.Time)             {}
func (s *supply) ReportRecovered(string)                           {}
func (s *supply) HandlerVersion() string                           { return "" }
func (s *supply) ReportParked([]msg.Key)                           {}

// run has ForEach handle n changes.
func (s *supply) run(b *testing.B, n int, handler operators.Handler, opts ...operators.ForEachOption) {
	ctx, cancel := context.WithCancelCause(b.Context())
	var handled atomic.Int64
	err := operators.ForEach(ctx, s, func(ctx context.Context, c stream.Change) error {
		err := handler(ctx, c)
		if handled.Add(1) == int64(n) {
			cancel(errStop)
		}
		return err
	}, opts...)
	if handled.Load() != int64(n) {
		b.Fatalf("handled %d of %d: %v", handled.Load(), n, err)
	}
}

// BenchmarkForEach is the cost of ForEach for each change, with a handler that does
// nothing: what it adds to reading them.
func BenchmarkForEach(b *testing.B) {
	for _, workers := range []int{1, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s := newSupply(b.N, 1000)
			b.ReportAllocs()
			b.ResetTimer()
			s.run(b, b.N, func(context.Context, stream.Change) error { return nil }, operators.WithWorkers(workers))
		})
	}
}

// BenchmarkWorkers is the rate of 64 workers whose handlers wait for a millisecond,
// beside that of 64 goroutines that do nothing else.
func BenchmarkWorkers(b *testing.B) {
	const workers = 64
	rest := func() { time.Sleep(time.Millisecond) }
	b.Run("bare", func(b *testing.B) {
		var next atomic.Int64
		ended := make(chan struct{}, workers)
		b.ResetTimer()
		for range workers {
			go func() {
				for next.Add(1) <= int64(b.N) {
					rest()
				}
				ended <- struct{}{}
			}()
		}
		for range workers {
			<-ended
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
	})
	b.Run("foreach", func(b *testing.B) {
		s := newSupply(b.N, 1000)
		runtime.GC()
		b.ResetTimer()
		s.run(b, b.N, func(context.Context, stream.Change) error { rest(); return nil }, operators.WithWorkers(workers))
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
	})
}
