package main_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	benchAggregates = 2000
	benchBatches    = 20
	benchEvents     = 5 // of 200 bytes, for each batch
)

// BenchmarkCatchUp measures a subscription that starts from nothing until it
// is caught up: a node in a process of its own, TCP, pool, engine, delivery
// and, but for the first, cursors stored behind the handler.
func BenchmarkCatchUp(b *testing.B) {
	client := filled(b)
	for name, store := range map[string]func(b *testing.B, n int) checkpoint.Store{
		"no cursors": nil,
		"memory":     func(*testing.B, int) checkpoint.Store { return checkpoint.NewMemory() },
		"file": func(b *testing.B, n int) checkpoint.Store {
			s, err := checkpoint.OpenFile(b.Context(), filepath.Join(b.TempDir(), fmt.Sprint(n)), checkpoint.FileOptions{})
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
	} {
		b.Run(name, func(b *testing.B) {
			events, run := 0, 0
			for b.Loop() {
				b.StopTimer()
				opts := stream.Options{Name: "bench"}
				if store != nil {
					opts.Store = store(b, run)
				}
				run++
				b.StartTimer()
				events += catchUp(b, client, opts)
				if opts.Store != nil {
					b.StopTimer()
					opts.Store.Close()
					b.StartTimer()
				}
			}
			if want := run * benchAggregates * benchBatches * benchEvents; events != want {
				b.Fatalf("%d events delivered, want %d", events, want)
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func catchUp(b *testing.B, client *pool.Pool, opts stream.Options) int {
	sub, err := stream.Open(b.Context(), stream.FromPool(client), stream.Everything(), opts)
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Close(context.Background())
	events := 0
	if opts.Store == nil {
		for {
			changes, err := sub.Next(b.Context())
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
	for change, err := range sub.All(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		if change.Kind == stream.CaughtUp {
			break
		}
		events += len(change.Batch.Events)
	}
	return events
}

// filled starts a node and writes the data, once for all sub-benchmarks.
func filled(b *testing.B) *pool.Pool {
	client := connect(b, startDev(b, "--client-port", "0", "--num-shards", "2", "--json").told(b).Address)
	var writers sync.WaitGroup
	for part := range uint64(8) {
		writers.Go(func() {
			for n := part; n < benchAggregates; n += 8 {
				for batch := range benchBatches {
					events := make([]msg.Event, benchEvents)
					for i := range events {
						events[i] = msg.Event{ClientSeq: uint64(batch*benchEvents + i + 1), Major: 1, Value: make([]byte, 200)}
					}
					if _, err := client.WriteEvents(b.Context(), aggregate(n), events, writer, pool.WriteOptions{}); err != nil {
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
	return client
}
