package otel_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/otel"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/status"
	"github.com/celeriant/celeriant-go/stream"
)

// asked is a store that counts the questions about members, and can be away.
type asked struct {
	away
	times atomic.Int64
}

func (a *asked) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	if name == "" {
		a.times.Add(1)
	}
	return a.away.Records(ctx, name, prefix)
}

func TestPartitionsAreObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := celerianttest.Run(t, celerianttest.Options{InMemory: true})
		p, err := pool.New(pool.Options{Address: "node:1", Dial: node.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		store := checkpoint.NewMemory()
		open := func(store checkpoint.RecordStore, o stream.Options) *stream.Subscription {
			o.Store = store
			s, err := stream.Open(t.Context(), stream.FromPool(p), stream.Everything(), o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		leased := stream.Options{Name: "orders", Ownership: stream.Leased}
		mine := &asked{away: away{RecordStore: store}}
		here, there := open(mine, leased), open(&asked{away: away{RecordStore: store}}, leased)
		alone, inside := open(mine, stream.Options{Name: "alone"}), open(checkpoint.NewMemory(), leased)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, s := range []*stream.Subscription{here, there, alone, inside} {
			go func() {
				for range s.All(ctx) {
				}
			}()
		}
		time.Sleep(time.Minute)

		r := newRig(t, otel.Options{})
		watch := func(r *rig, name string, s *stream.Subscription) {
			t.Helper()
			r.Watch(name, s.Stats)
			if _, err := r.WatchPartitions(name, s.Store().(checkpoint.RecordStore)); err != nil {
				t.Fatal(err)
			}
		}
		watch(r, "orders", here)
		watch(r, "alone", alone)
		single := newRig(t, otel.Options{})
		watch(single, "orders", inside)
		if points := single.collect(t)["celeriant.partitions"]; !has(points, "celeriant.state=mine messaging.consumer.group.name=orders", 64) {
			t.Errorf("in a store of one process: %v", points)
		}
		inside.ReportRetry(stream.WhatHandler, errors.New("no"), time.Time{})
		if _, err := single.WatchPool("requests", p); err != nil {
			t.Fatal(err)
		}
		measured := stream.Rebuild{Progress: rebuild.Progress{At: time.Now(), Versions: 10, Handled: 4}}
		if _, err := single.WatchRebuild("orders", func() (stream.Rebuild, bool) { return measured, true }); err != nil {
			t.Fatal(err)
		}
		over, err := single.WatchGateway(func() []status.Stream { return []status.Stream{{Mode: "shared", Open: 3, Stalled: 1}} })
		if err != nil {
			t.Fatal(err)
		}
		single.everything(t)
		filled := single.collect(t)
		for _, i := range otel.Instruments {
			if len(filled[i.Name]) == 0 {
				t.Errorf("nothing fills %s", i.Name)
			}
		}
		for name, n := range map[string]float64{"celeriant.rebuild.remaining": 6, "celeriant.gateway.streams": 3, "celeriant.gateway.stalled": 1} {
			if len(filled[name]) != 1 || filled[name][0].value != n {
				t.Errorf("%s is %v, want %v", name, filled[name], n)
			}
		}
		over()
		if left := single.collect(t)["celeriant.gateway.streams"]; len(left) > 0 {
			t.Errorf("after it is watched no more: %v", left)
		}
		wants := func(when string, want map[string]float64) {
			t.Helper()
			points := r.collect(t)["celeriant.partitions"]
			if len(points) != len(want) {
				t.Errorf("%s: %v", when, points)
			}
			for state, n := range want {
				if !has(points, "celeriant.state="+state+" messaging.consumer.group.name=orders", n) {
					t.Errorf("%s: %v, want %v %s", when, points, n, state)
				}
			}
		}
		shared := map[string]float64{"mine": 32, "other": 32, "unowned": 0}
		wants("two members", shared)
		before := mine.times.Load()
		wants("at once again", shared)
		if mine.times.Load() != before {
			t.Error("the store was asked twice within five seconds")
		}
		for _, s := range []*stream.Subscription{here, there, alone, inside} {
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
		wants("after the end", map[string]float64{"mine": 0, "other": 0, "unowned": 64})
		mine.leave(errors.New("away"))
		time.Sleep(time.Minute)
		wants("without the store", nil)
	})
}
