package stream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// inMemory runs a test with a node and a shared source, in virtual time.
func inMemory(t *testing.T, o celerianttest.Options, test func(t *testing.T, n *celerianttest.Node, p *pool.Pool, s *stream.Shared)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.InMemory, o.Clock = true, new(strictClock)
		node, err := celerianttest.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = node.Close() }()
		p := newPool(t, pool.Options{Address: "node:1", Dial: node.DialContext})
		defer func() { _ = p.Close(context.Background()) }()
		s := stream.Share(stream.FromPool(p))
		defer func() { _ = s.Close(context.Background()) }()
		test(t, node, p, s)
	})
}

func openOn(t *testing.T, src stream.Source, scope stream.Scope, o stream.Options) *stream.Subscription {
	t.Helper()
	s, err := stream.Open(t.Context(), src, scope, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writeOn(t *testing.T, p *pool.Pool, key msg.Key) uint64 {
	t.Helper()
	version, err := p.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte("x")}}, clientID, pool.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Fifty subscribers of one scope, started together, cost one connection to each
// shard, and a change costs about one read, not fifty.
func TestSharedFiftyCostOne(t *testing.T) {
	const subscribers, changes, shards = 50, 100, 3
	inMemory(t, celerianttest.Options{Shards: shards}, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, shared *stream.Shared) {
		for k := range 10 {
			for range k + 1 {
				writeOn(t, p, keyOf(k))
			}
		}
		var all []*stream.Subscription
		for range subscribers {
			s := openOn(t, shared, stream.Types(org, typ), stream.Options{})
			defer func() { _ = s.Close(context.Background()) }()
			all = append(all, s)
		}
		for _, s := range all {
			until(t, s, caughtUp)
		}
		stats := shared.Stats()
		if stats.Upstreams != shards || stats.Opened != shards || stats.Subscribers != shards*subscribers || n.Stats().Watches != shards {
			t.Errorf("%d watches at the node, %+v", n.Stats().Watches, stats)
		}
		before := n.Stats().Requests[msg.TypeReadRequest]
		for i := range changes {
			key := keyOf(i % 10)
			version := writeOn(t, p, key)
			for _, s := range all {
				got := until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch })
				if len(got) != 1 || !strings.HasPrefix(got[0], fmt.Sprintf("%d: 0.%d ", i%10, version)) {
					t.Fatalf("change %d came as %q", i, got)
				}
			}
		}
		stats = shared.Stats()
		reads := n.Stats().Requests[msg.TypeReadRequest] - before
		if reads > changes*3/2 {
			t.Errorf("%d changes took %d reads for %d subscribers: %+v", changes, reads, subscribers, stats)
		}
		t.Logf("%d changes, %d reads; %+v", changes, reads, stats)
	})
}

// Subscribers on overlapping and disjoint scopes that come one after another end
// up on one connection, and hear everything on the way.
func TestSharedConnectionsConverge(t *testing.T) {
	inMemory(t, celerianttest.Options{}, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, shared *stream.Shared) {
		const subscribers = 20
		var all []*stream.Subscription
		for i := range subscribers {
			s := openOn(t, shared, stream.Aggregates(keyOf(i), keyOf(i+1)), stream.Options{})
			defer func() { _ = s.Close(context.Background()) }()
			until(t, s, caughtUp)
			all = append(all, s)
			for k := range i + 1 {
				writeOn(t, p, keyOf(k))
			}
		}
		for i, s := range all {
			// Each was there before its second aggregate was first written.
			want := []uint64{uint64(subscribers - i), uint64(subscribers - i - 1)}
			got := make([]uint64, 2)
			for got[0] < want[0] || got[1] < want[1] {
				changes, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range changes {
					at := 0
					if c.Key == keyOf(i+1) {
						at = 1
					}
					if got[at]++; c.Kind != stream.Batch || c.Batch.Version != got[at] {
						t.Fatalf("subscriber %d was given %v as number %d", i, &c, got[at])
					}
				}
			}
		}
		time.Sleep(30 * time.Second)
		stats := shared.Stats()
		if stats.Upstreams != 1 || n.Stats().Watches != 1 || stats.Moves == 0 {
			t.Errorf("%d watches at the node, %+v", n.Stats().Watches, stats)
		}
		for i, s := range all {
			if s.Stats().Reconnects != 0 || s.State().Phase != stream.Live {
				t.Errorf("subscriber %d noticed: %+v", i, s.Stats())
			}
		}
	})
}

// A handler that panics, and a consumer that never asks, are their own trouble.
//
//covers:handler
func TestSharedTroubleIsPrivate(t *testing.T) {
	inMemory(t, celerianttest.Options{}, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, shared *stream.Shared) {
		scope := stream.Types(org, typ)
		sound := openOn(t, shared, scope, stream.Options{})
		defer func() { _ = sound.Close(context.Background()) }()
		store := checkpoint.NewMemory()
		panicking := openOn(t, shared, scope, stream.Options{Name: "p", Store: store})
		idle := openOn(t, shared, scope, stream.Options{Buffer: 100})
		until(t, sound, caughtUp)
		broke := make(chan any)
		go func() {
			defer func() { broke <- recover() }()
			_ = panicking.Run(t.Context(), func(_ context.Context, c stream.Change) error {
				if c.Kind == stream.Batch && c.Batch.Version == 3 {
					panic("broken")
				}
				return nil
			})
		}()
		for version := uint64(1); version <= 50; version++ {
			writeOn(t, p, keyOf(1))
			got := until(t, sound, func(c stream.Change) bool { return c.Kind == stream.Batch })
			if want := fmt.Sprintf("1: 0.%d x", version); !slices.Contains(got, want) {
				t.Fatalf("heard %q, want %q", got, want)
			}
			if version == 3 {
				if what := <-broke; what != "broken" {
					t.Fatalf("the handler ended with %v", what)
				}
			}
		}
		if sound.Stats().Reconnects != 0 || shared.Stats().Upstreams != 1 {
			t.Errorf("%+v, %+v", sound.Stats(), shared.Stats())
		}
		for _, s := range []*stream.Subscription{panicking, idle} {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		again := openOn(t, shared, scope, stream.Options{Name: "p", Store: store})
		defer func() { _ = again.Close(context.Background()) }()
		if got := until(t, again, caughtUp); !slices.Contains(got, "1: 0.3 x") || got[len(got)-2] != "1: 0.50 x" {
			t.Errorf("resumed with %q", got)
		}
	})
}

// A connection that goes dead without a sign is left by all within the liveness
// bound, whatever the pool thinks of it.
func TestSharedHalfOpenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, err := celerianttest.Start(celerianttest.Options{InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = node.Close() }()
		p := newPool(t, pool.Options{Address: "node:1", Dial: node.DialContext, WatchLiveness: time.Hour})
		defer func() { _ = p.Close(context.Background()) }()
		shared := stream.Share(stream.FromPool(p))
		defer func() { _ = shared.Close(context.Background()) }()
		var all []*stream.Subscription
		for range 5 {
			s := openOn(t, shared, stream.Everything(), stream.Options{})
			defer func() { _ = s.Close(context.Background()) }()
			until(t, s, caughtUp)
			all = append(all, s)
		}
		time.Sleep(time.Minute)
		first := true
		var mu sync.Mutex
		dead := make(map[any]bool)
		node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := f.Response.(*msg.WatchResponse); ok && f.Direction == celerianttest.ToClient && (first || dead[f.Conn]) {
				first, dead[f.Conn] = false, true
				return celerianttest.Drop()
			}
			return celerianttest.Pass()
		})
		time.Sleep(21 * time.Second)
		writeOn(t, p, keyOf(1))
		for i, s := range all {
			if got := until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch }); got[len(got)-1] != "1: 0.1 x" {
				t.Errorf("subscriber %d heard %q", i, got)
			}
			if n := s.Stats().Reconnects; n != 1 {
				t.Errorf("subscriber %d reconnected %d times", i, n)
			}
		}
	})
}

// Storms as in TestStorm, for two and fifty subscribers that come and go on one
// shared source whose connections are cut every few milliseconds: each of them
// holds exactly what the node holds of its scope.
//
//covers:g3
func TestSharedStorm(t *testing.T) {
	one := func(int) stream.Scope { return stream.Types(org, typ) }
	overlapping := func(i int) stream.Scope {
		switch i % 5 {
		case 0:
			return stream.Everything()
		case 1:
			return stream.Orgs(org)
		case 2:
			return stream.Types(org, typ)
		}
		return stream.Aggregates(keyOf(i%stormKeys), keyOf((i+1)%stormKeys), keyOf(1000+i))
	}
	disjoint := func(i int) stream.Scope { return stream.Aggregates(keyOf(i%stormKeys), keyOf(1000+i)) }
	for _, c := range []struct {
		name        string
		scope       func(int) stream.Scope
		subscribers int
		steps       int
		quirks      bool
		latency     time.Duration
	}{
		{"two, equal", one, 2, 1500, true, 0},
		{"two, overlapping", overlapping, 2, 1500, false, 0},
		{"two, disjoint", disjoint, 2, 1500, true, 5 * time.Millisecond},
		{"fifty, equal", one, 50, 400, false, 0},
		{"fifty, overlapping", overlapping, 50, 400, true, 0},
		{"fifty, disjoint", disjoint, 50, 400, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, celerianttest.Options{Shards: 2, Quirks: c.quirks, Seed: 1}, pool.Options{RequestTimeout: time.Second})
			shared := shareOf(t, w.source())
			runSharedStorm(t, w, shared, c.subscribers, c.steps, c.scope, stream.Options{Latency: c.latency, Readers: 4})
			stats := shared.Stats()
			t.Logf("%d cuts; %+v", w.cut.cuts.Load(), stats)
			// Of disjoint scopes only connections are shared, not reads.
			if stats.Joined+stats.Kept == 0 && !strings.HasSuffix(c.name, "disjoint") {
				t.Error("nothing was shared")
			}
		})
	}
}

func runSharedStorm(t *testing.T, w *world, shared *stream.Shared, n, steps int, scope func(int) stream.Scope, o stream.Options) {
	ctx, cancel := context.WithCancel(t.Context())
	// Cuts and crashes end with the writes: on a slow machine fifty subscribers
	// do not catch up between two of them.
	storm, clear := context.WithCancel(ctx)
	defer clear()
	var background sync.WaitGroup
	consumers := make([]*consumer, n)
	for i := range consumers {
		c := newConsumer()
		consumers[i] = c
		o := o
		o.Store, o.Name = checkpoint.NewMemory(), "storm"
		background.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 4))
			var err error
			for storm.Err() == nil && err == nil {
				err = consume(storm, shared, scope(i), o, c, rng)
			}
			if err == nil {
				err = follow(ctx, shared, scope(i), o, c)
			}
			if err != nil {
				t.Errorf("subscriber %d: %v", i, err)
			}
		})
	}
	background.Go(func() {
		rng := rand.New(rand.NewPCG(uint64(n), 5))
		for storm.Err() == nil {
			w.cut.cutSome(rng, 0.3)
			select {
			case <-storm.Done():
			case <-time.After(time.Duration(3+rng.IntN(30)) * time.Millisecond):
			}
		}
	})
	truths := writeSteps(t, w, uint64(n), steps)
	clear()
	deadline := time.Now().Add(40 * time.Second)
	for i, c := range consumers {
		mine := make(map[msg.Key]*truth)
		for key, x := range truths {
			if scope(i).Contains(key) {
				mine[key] = x
			}
		}
		for problem := c.differs(mine); problem != ""; problem = c.differs(mine) {
			if time.Now().After(deadline) {
				t.Errorf("subscriber %d: %s", i, problem)
				break
			}
			select {
			case <-c.moved:
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	cancel()
	background.Wait()
	if w.cut.cuts.Load() < 5 {
		t.Errorf("too quiet: %d cuts", w.cut.cuts.Load())
	}
}

// follow consumes until ctx ends.
func follow(ctx context.Context, src stream.Source, scope stream.Scope, o stream.Options, c *consumer) error {
	s, err := stream.Open(context.WithoutCancel(ctx), src, scope, o)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(context.Background()) }()
	for {
		changes, err := s.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = c.apply(changes)
		}
		if err == nil {
			err = s.Commit(context.WithoutCancel(ctx), stream.Entries(changes))
		}
		if err != nil {
			return err
		}
	}
}
