package stream_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// eachNode runs a benchmark on a node in this process, and on the server that
// CELERIANT_TEST_ADDR names, if it does.
func eachNode(b *testing.B, shards int, run func(b *testing.B, address string)) {
	b.Run("in process", func(b *testing.B) {
		node, err := celerianttest.Start(celerianttest.Options{Shards: shards})
		if err != nil {
			b.Fatal(err)
		}
		defer node.Close()
		run(b, node.Addr())
	})
	if address := os.Getenv("CELERIANT_TEST_ADDR"); address != "" {
		b.Run("named server", func(b *testing.B) { run(b, address) })
	}
}

func benchPool(b *testing.B, o pool.Options) *pool.Pool {
	p, err := pool.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// fill writes batches of events of 200 bytes to aggregates of a type of their
// own, and returns that type.
func fill(b *testing.B, p *pool.Pool, aggregates, batches, events int) (typ msg.ID) {
	typ = newOrg()
	var writers sync.WaitGroup
	for part := range 8 {
		writers.Go(func() {
			for n := part; n < aggregates; n += 8 {
				for batch := range batches {
					if _, err := p.WriteEvents(b.Context(), benchKey(typ, n), payloads(batch, events), clientID, pool.WriteOptions{}); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return typ
}

func benchKey(typ msg.ID, n int) msg.Key {
	return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(uint64(n))}
}

func payloads(batch, n int) []msg.Event {
	events := make([]msg.Event, n)
	for i := range events {
		events[i] = msg.Event{ClientSeq: uint64(batch*n + i + 1), Major: 1, Value: make([]byte, 200)}
	}
	return events
}

// eachSource runs a benchmark with a pool as it is, and with one that is shared,
// as the subscriptions of a client do.
func eachSource(b *testing.B, p *pool.Pool, run func(b *testing.B, source stream.Source)) {
	b.Run("alone", func(b *testing.B) { run(b, stream.FromPool(p)) })
	b.Run("shared", func(b *testing.B) {
		shared := stream.Share(stream.FromPool(p))
		defer shared.Close(context.Background())
		run(b, shared)
	})
}

// subscribe opens a subscription of a type and closes it when the benchmark ends.
func subscribe(b *testing.B, source stream.Source, typ msg.ID, o stream.Options) *stream.Subscription {
	s, err := stream.Open(b.Context(), source, stream.Types(org, typ), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// toLive takes changes until everything is caught up, and counts events.
func toLive(b *testing.B, s *stream.Subscription) (events int) {
	for {
		changes, err := s.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for i := range changes {
			if changes[i].Kind == stream.CaughtUp {
				return events
			}
			events += len(changes[i].Batch.Events)
		}
	}
}

// spent is the time that went by and the processor time that was used, by
// client and node together where the node is in this process.
type spent struct{ wall, cpu time.Duration }

func (s *spent) on(f func()) {
	wall, cpu := time.Now(), used()
	f()
	s.wall += time.Since(wall)
	s.cpu += used() - cpu
}

// over is how the rate of what was spent on s compares with that of o.
func (s *spent) over(o *spent) (wall, cpu float64) {
	return o.wall.Seconds() / s.wall.Seconds(), o.cpu.Seconds() / s.cpu.Seconds()
}

// alternate runs two things b.N times each, in turns, and returns what each
// took in all. Both have the same load of the machine.
func alternate(b *testing.B, one, other func()) (ones, others spent) {
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			ones.on(one)
			others.on(other)
		} else {
			others.on(other)
			ones.on(one)
		}
	}
	return ones, others
}

// BenchmarkCatchUpRatio catches up with a subscription from nothing, and reads
// the same aggregates, their keys known, with as many readers through the pool.
// The ratio is that of the rates: 1 means that the subscription costs nothing.
func BenchmarkCatchUpRatio(b *testing.B) {
	for _, shape := range []struct {
		name                        string
		aggregates, batches, events int
	}{
		{"2000 aggregates of 2 batches", 2000, 2, 1},
		{"2000 aggregates of 20 batches", 2000, 20, 5},
		{"200 aggregates of 200 batches", 200, 200, 5},
	} {
		b.Run(shape.name, func(b *testing.B) {
			eachNode(b, 2, func(b *testing.B, address string) {
				p := benchPool(b, pool.Options{Address: address})
				typ := fill(b, p, shape.aggregates, shape.batches, shape.events)
				want := shape.aggregates * shape.batches * shape.events
				eachSource(b, p, func(b *testing.B, source stream.Source) {
					catchUpRatio(b, p, source, typ, shape.aggregates, want)
				})
			})
		})
	}
}

func catchUpRatio(b *testing.B, p *pool.Pool, source stream.Source, typ msg.ID, aggregates, want int) {
	reads := uint64(0)
	direct, streamed := alternate(b, func() {
		if n := readAll(b, p, typ, aggregates); n != want {
			b.Fatalf("%d events read, want %d", n, want)
		}
	}, func() {
		s := subscribe(b, source, typ, stream.Options{})
		if n := toLive(b, s); n != want {
			b.Fatalf("%d events delivered, want %d", n, want)
		}
		reads += s.Stats().Reads
		_ = s.Close(context.Background())
	})
	events := float64(b.N) * float64(want)
	wall, cpu := streamed.over(&direct)
	b.ReportMetric(wall, "stream/direct")
	b.ReportMetric(cpu, "stream/direct-by-cpu")
	b.ReportMetric(events/streamed.wall.Seconds(), "events/s")
	b.ReportMetric(events/direct.wall.Seconds(), "direct-events/s")
	b.ReportMetric(float64(reads)/float64(b.N*aggregates), "reads/aggregate")
}

// readAll reads aggregates through the pool with as many readers as a
// subscription has.
func readAll(b *testing.B, p *pool.Pool, typ msg.ID, aggregates int) int {
	var readers sync.WaitGroup
	counts := make([]int, stream.DefaultReaders)
	for part := range counts {
		readers.Go(func() {
			for n := part; n < aggregates; n += len(counts) {
				for batch, err := range p.ReadAll(b.Context(), benchKey(typ, n), msg.ReadFilters{}) {
					if err != nil {
						b.Error(err)
						return
					}
					counts[part] += len(batch.Events)
				}
			}
		})
	}
	readers.Wait()
	events := 0
	for _, n := range counts {
		events += n
	}
	return events
}

// BenchmarkReconcile opens a subscription whose 100,000 cursors are in step with
// the node, and lists the same aggregates through the pool.
func BenchmarkReconcile(b *testing.B) {
	const aggregates = 100_000
	eachNode(b, 2, func(b *testing.B, address string) {
		p := benchPool(b, pool.Options{Address: address})
		typ := fill(b, p, aggregates, 1, 1)
		opts := stream.Options{Name: "reconcile", Store: checkpoint.NewMemory()}
		s := subscribe(b, stream.FromPool(p), typ, opts)
		for live := false; !live; {
			changes, err := s.Next(b.Context())
			if err == nil {
				err = s.Commit(b.Context(), stream.Entries(changes))
			}
			if err != nil {
				b.Fatal(err)
			}
			live = slices.ContainsFunc(changes, caughtUp)
		}
		_ = s.Close(context.Background())
		reads := uint64(0)
		listed, reconciled := alternate(b, func() {
			n := 0
			for _, err := range p.ListAggregates(b.Context(), pool.ListAggregatesOptions{Org: msg.Some(org), Type: msg.Some(typ)}) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != aggregates {
				b.Fatalf("%d aggregates listed", n)
			}
		}, func() {
			s := subscribe(b, stream.FromPool(p), typ, opts)
			if n := toLive(b, s); n != 0 {
				b.Fatalf("%d events delivered", n)
			}
			reads += s.Stats().Reads
			_ = s.Close(context.Background())
		})
		if reads > 0 {
			b.Fatalf("%d aggregates in step were read", reads)
		}
		n := float64(b.N)
		b.ReportMetric(listed.wall.Seconds()/n, "list-s")
		b.ReportMetric((reconciled.wall-listed.wall).Seconds()/n, "beyond-list-s")
		b.ReportMetric(float64((reconciled.cpu-listed.cpu).Nanoseconds())/n/aggregates, "beyond-list-cpu-ns/cursor")
	})
}

// BenchmarkLive measures from the acknowledgement of a write to its handler:
// through a subscription that is live, and by a bare watch whose notifications
// are read for, in turns on the same node.
func BenchmarkLive(b *testing.B) {
	eachNode(b, 1, func(b *testing.B, address string) {
		p := benchPool(b, pool.Options{Address: address})
		eachSource(b, p, func(b *testing.B, source stream.Source) { live(b, p, source, address) })
	})
}

func live(b *testing.B, p *pool.Pool, source stream.Source, address string) {
	writers := benchPool(b, pool.Options{Address: address})
	streamed, bare := newOrg(), newOrg()
	write := func(typ msg.ID) (acknowledged time.Time) {
		if _, err := writers.WriteEvents(b.Context(), benchKey(typ, 1), payloads(0, 1), clientID, pool.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
		return time.Now()
	}
	for _, typ := range []msg.ID{streamed, bare} {
		write(typ)
	}
	handled := make(chan time.Time)
	ctx, cancel := context.WithCancel(b.Context())
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer cancel()
	s := subscribe(b, source, streamed, stream.Options{})
	ready := make(chan struct{})
	handlers.Go(func() {
		_ = s.Run(ctx, func(_ context.Context, c stream.Change) error {
			switch c.Kind {
			case stream.CaughtUp:
				close(ready)
			case stream.Batch:
				select {
				case <-ready:
					handled <- time.Now()
				default:
				}
			}
			return nil
		})
	})
	<-ready
	shards, err := p.Shards(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for shard := range shards {
		w, err := p.Watch(b.Context(), &msg.WatchRequest{Shard: msg.Some(shard), Types: []msg.ID{bare}})
		if err != nil {
			b.Fatal(err)
		}
		handlers.Go(func() { followBare(ctx, p, w, handled) })
	}
	var throughStream, throughWatch []time.Duration
	measure := func(typ msg.ID, into *[]time.Duration) func() {
		return func() {
			acknowledged := write(typ)
			*into = append(*into, (<-handled).Sub(acknowledged))
		}
	}
	alternate(b, measure(streamed, &throughStream), measure(bare, &throughWatch))
	for _, q := range []struct {
		name string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		s, w := quantile(throughStream, q.part), quantile(throughWatch, q.part)
		b.ReportMetric(float64(s.Nanoseconds())/1e3, q.name+"-µs")
		b.ReportMetric(float64(w.Nanoseconds())/1e3, q.name+"-bare-µs")
		b.ReportMetric(float64(s)/float64(w), q.name+"-ratio")
	}
}

// followBare reads what is notified and sends the time for each batch.
func followBare(ctx context.Context, p *pool.Pool, w *pool.Watch, handled chan<- time.Time) {
	defer w.Close()
	from := uint64(2)
	for {
		frame, err := w.Next(ctx)
		if err != nil {
			return
		}
		for i := range frame {
			page, err := p.Read(ctx, &msg.ReadRequest{Key: frame[i].Key, Filters: msg.ReadFilters{From: from}})
			if err != nil {
				return
			}
			for i := range page.Batches {
				from = page.Batches[i].Version + 1
				select {
				case handled <- time.Now():
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

func quantile(of []time.Duration, part float64) time.Duration {
	slices.Sort(of)
	return of[min(len(of)-1, int(part*float64(len(of))))]
}
