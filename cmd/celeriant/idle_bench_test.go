//go:build unix

package main_test

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// BenchmarkIdle is what live subscriptions cost while nothing happens, of 64
// shards on a node in a process of its own, whose heartbeats come every five
// seconds. An operation is ten seconds of that.
func BenchmarkIdle(b *testing.B) {
	const shards, aggregates = 64, 1000
	client := connect(b, startDev(b, "--client-port", "0", "--num-shards", "64", "--json").told(b).Address)
	for n := range uint64(aggregates) {
		event := []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 200)}}
		if _, err := client.WriteEvents(b.Context(), aggregate(n), event, writer, pool.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("one subscription", func(b *testing.B) { idle(b, client, stream.FromPool(client), 1, shards) })
	b.Run("eight that share", func(b *testing.B) {
		shared := stream.Share(stream.FromPool(client))
		defer shared.Close(context.Background())
		idle(b, client, shared, 8, shards)
	})
}

func idle(b *testing.B, client *pool.Pool, source stream.Source, subscriptions, shards int) {
	before := runtime.NumGoroutine()
	for range subscriptions {
		sub, err := stream.Open(b.Context(), source, stream.Everything(), stream.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer sub.Close(context.Background())
		for live := false; !live; {
			changes, err := sub.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			live = changes[len(changes)-1].Kind == stream.CaughtUp
		}
	}
	time.Sleep(2 * time.Second) // for what was kept a moment only
	runtime.GC()
	took := time.Duration(0)
	for b.Loop() {
		began := processorTime(b)
		time.Sleep(10 * time.Second)
		took += processorTime(b) - began
	}
	b.ReportMetric(100*took.Seconds()/b.Elapsed().Seconds(), "%-of-a-core")
	b.ReportMetric(float64(runtime.NumGoroutine()-before)/float64(shards), "goroutines/shard")
	b.ReportMetric(float64(client.Stats().Nodes[0].Watches)/float64(shards), "connections/shard")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
