package stream_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// BenchmarkSubscribersLive writes changes one after another, each of which is
// delivered to all subscribers before the next: with a connection and reads of
// their own, and shared.
func BenchmarkSubscribersLive(b *testing.B) {
	for _, subscribers := range []int{1, 50} {
		for _, shared := range []bool{false, true} {
			name := fmt.Sprintf("%d/alone", subscribers)
			if shared {
				name = fmt.Sprintf("%d/shared", subscribers)
			}
			b.Run(name, func(b *testing.B) { benchSubscribers(b, subscribers, shared) })
		}
	}
}

func benchSubscribers(b *testing.B, subscribers int, shared bool) {
	const shards, keys = 2, 10
	node := celerianttest.Run(b, celerianttest.Options{Shards: shards})
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Close(context.Background()) }()
	src := stream.FromPool(p)
	if shared {
		s := stream.Share(src)
		defer func() { _ = s.Close(context.Background()) }()
		src = s
	}
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	var delivered, caught sync.WaitGroup
	caught.Add(subscribers)
	for range subscribers {
		s, err := stream.Open(ctx, src, stream.Everything(), stream.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = s.Close(context.Background()) }()
		go func() {
			for {
				changes, err := s.Next(ctx)
				if err != nil {
					return
				}
				_ = s.Commit(ctx, stream.Entries(changes))
				for _, c := range changes {
					if c.Kind == stream.CaughtUp {
						caught.Done()
					} else {
						delivered.Done()
					}
				}
			}
		}()
	}
	caught.Wait()
	write := func(i int) {
		delivered.Add(subscribers)
		events := []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 200)}}
		if _, err := p.WriteEvents(ctx, keyOf(i%keys), events, clientID, pool.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
		delivered.Wait()
	}
	for i := range 5 * keys {
		write(i)
	}
	before := node.Stats().Requests[msg.TypeReadRequest]
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		write(n)
		n++
	}
	stats := node.Stats()
	b.ReportMetric(float64(stats.Requests[msg.TypeReadRequest]-before)/float64(n), "reads/change")
	b.ReportMetric(float64(stats.Watches), "watches")
}
