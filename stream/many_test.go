package stream_test

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// running counts the goroutines that this package's code has started.
func running() int {
	stacks := make([]byte, 16<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "created by github.com/celeriant/celeriant-go/stream.")
}

// bubble runs a test in virtual time with a node of so many shards.
func bubble(t *testing.T, shards int, test func(t *testing.T, n *celerianttest.Node, p *pool.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		node, err := celerianttest.Start(celerianttest.Options{InMemory: true, Shards: shards, Clock: new(strictClock)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = node.Close() }()
		p := newPool(t, pool.Options{Address: "node:1", Dial: node.DialContext})
		defer func() { _ = p.Close(context.Background()) }()
		test(t, node, p)
	})
}

// A live subscription of 64 shards has one goroutine and one connection for each
// of them, and nothing for its aggregates.
func TestManyShardsAtRest(t *testing.T) {
	const shards, aggregates = 64, 2000
	bubble(t, shards, func(t *testing.T, n *celerianttest.Node, p *pool.Pool) {
		for k := range aggregates {
			writeOn(t, p, keyOf(k))
		}
		s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Store: inStepAfter(t, p, aggregates)})
		defer func() { _ = s.Close(context.Background()) }()
		until(t, s, caughtUp)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := running(); got != shards {
			t.Errorf("%d goroutines, want one for each of %d shards", got, shards)
		}
		watching := p.Stats().Nodes[0]
		if watching.Watches != shards || n.Stats().Watches != shards || n.Stats().Connections > shards+1 {
			t.Errorf("%+v; the node has %d connections", watching, n.Stats().Connections)
		}
		if stats := s.Stats(); stats.Subscribed != shards || stats.Dirty != 0 || stats.Buffered != 0 || stats.Reads != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// inStepAfter returns a store that has followed all aggregates.
func inStepAfter(t *testing.T, p *pool.Pool, aggregates int) checkpoint.Store {
	store := checkpoint.NewMemory()
	s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Store: store})
	defer func() { _ = s.Close(context.Background()) }()
	if got := until(t, s, caughtUp); len(got) != aggregates+1 {
		t.Fatalf("%d changes of %d aggregates", len(got), aggregates)
	}
	return store
}

// Many subscriptions of one client ask who leads little more often than one: what
// a node has just said to another is enough for noticing that it was deposed.
func TestManySubscriptionsAskWhoLeadsTogether(t *testing.T) {
	bubble(t, 2, func(t *testing.T, n *celerianttest.Node, p *pool.Pool) {
		shared := stream.Share(stream.FromPool(p))
		defer func() { _ = shared.Close(context.Background()) }()
		for range 50 {
			s := openOn(t, shared, stream.Everything(), stream.Options{})
			defer func() { _ = s.Close(context.Background()) }()
			until(t, s, caughtUp)
			time.Sleep(37 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		before := n.Stats().Requests[msg.TypeWriteRequest]
		time.Sleep(time.Minute)
		if asked := n.Stats().Requests[msg.TypeWriteRequest] - before; asked < 25 || asked > 65 {
			t.Errorf("asked %d times in a minute", asked)
		}
	})
}

// An idle live subscription asks only whether the watched node still leads: every two
// seconds, once for all shards.
func TestIdleAsksOnlyWhoLeads(t *testing.T) {
	bubble(t, 64, func(t *testing.T, n *celerianttest.Node, p *pool.Pool) {
		writeOn(t, p, keyOf(1))
		s := openOn(t, stream.FromPool(p), stream.Everything(), stream.Options{})
		defer func() { _ = s.Close(context.Background()) }()
		until(t, s, caughtUp)
		time.Sleep(time.Minute)
		before := n.Stats().Requests
		time.Sleep(8 * time.Minute)
		asked := n.Stats().Requests
		maps.DeleteFunc(asked, func(kind msg.RequestType, count uint64) bool { return count == before[kind] })
		probes := asked[msg.TypeWriteRequest] - before[msg.TypeWriteRequest]
		delete(asked, msg.TypeWriteRequest)
		// The probe's own connection is not kept for ever.
		delete(asked, msg.TypeIdentifyRequest)
		if len(asked) > 0 || probes < 239 || probes > 241 {
			t.Errorf("in eight minutes %d probes, and %v", probes, slices.Sorted(maps.Keys(asked)))
		}
	})
}

// All connections are cut each second for ten minutes, while aggregates of all
// shards are written to: everything arrives once and in order, and nothing is
// left of all the watches that were opened and lost.
func TestReconnectStorm(t *testing.T) {
	const shards, aggregates, seconds = 16, 40, 600
	bubble(t, shards, func(t *testing.T, n *celerianttest.Node, p *pool.Pool) {
		calm := newPool(t, pool.Options{Address: "node:1", Dial: n.DialContext})
		defer func() { _ = calm.Close(context.Background()) }()
		s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Store: checkpoint.NewMemory()})
		defer func() { _ = s.Close(context.Background()) }()
		until(t, s, caughtUp)
		synctest.Wait()
		atRest := running()

		next := make(map[msg.Key]uint64)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(ctx, func(_ context.Context, c stream.Change) error {
				if c.Kind == stream.CaughtUp {
					return nil
				}
				if next[c.Key]++; c.Kind != stream.Batch || c.Batch.Version != next[c.Key] {
					t.Errorf("%v came as number %d", &c, next[c.Key])
				}
				return nil
			})
		}()
		written := make(map[msg.Key]uint64)
		for second := range seconds {
			key := keyOf(second % aggregates)
			written[key] = writeOn(t, calm, key)
			n.CutConnections()
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.State().Phase != stream.Live || running() != atRest {
			t.Errorf("%v with %d goroutines, at rest there were %d", s.State(), running(), atRest)
		}
		cancel()
		<-done
		if !maps.Equal(next, written) {
			t.Errorf("handled %v, written %v", next, written)
		}
		stats := s.Stats()
		if stats.Reconnects < seconds || stats.Dirty != 0 || stats.Unreadable != 0 || stats.Buffered != 0 {
			t.Errorf("%+v", stats)
		}
		if got := p.Stats().Nodes[0]; got.Watches != shards || got.Waiting != 0 || got.Slots != got.Idle {
			t.Errorf("%+v", got)
		}
		if got := n.Stats(); got.Watches != shards || got.Connections > shards+pool.DefaultMaxConnections {
			t.Errorf("the node has %d watches and %d connections", got.Watches, got.Connections)
		}
		t.Logf("%d watches lost", stats.Reconnects)
	})
}

// A goroutine that has read stays a second for another read. One that is wanted
// in the very moment it leaves reads, and in the end none is left.
func TestReadersLeaveAndAreWanted(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *celerianttest.Node, p *pool.Pool) {
		s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Readers: 3})
		defer func() { _ = s.Close(context.Background()) }()
		until(t, s, caughtUp)
		for round := range 300 {
			time.Sleep(time.Second)
			left := make(map[msg.Key]bool)
			for k := range 1 + round%5 {
				writeOn(t, p, keyOf(k))
				left[keyOf(k)] = true
			}
			until(t, s, func(c stream.Change) bool { delete(left, c.Key); return len(left) == 0 })
		}
		time.Sleep(9*time.Second + time.Millisecond) // whatever is doubted is settled, and no probe is under way
		synctest.Wait()
		if got := running(); got != 1 {
			t.Errorf("%d goroutines, want the watch", got)
		}
	})
}

// An idle subscription of a shared source has no goroutine of its own, on one shard or
// several, and little memory.
func TestManyIdleSharedSubscriptions(t *testing.T) {
	const subscriptions = 200
	for shards, bar := range map[int]uint64{1: raceWords * 24 << 10, 4: raceWords * 32 << 10} {
		bubble(t, shards, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
			writeOn(t, p, keyOf(1))
			shared := stream.Share(stream.FromPool(p))
			defer func() { _ = shared.Close(context.Background()) }()
			open := func() *stream.Subscription {
				s := openOn(t, shared, stream.Types(org, typ), stream.Options{})
				until(t, s, caughtUp)
				return s
			}
			used := func() uint64 {
				time.Sleep(time.Minute) // whatever is looked at later was looked at
				synctest.Wait()
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc + m.StackInuse
			}
			first := open()
			before := used()
			all := []*stream.Subscription{first}
			for range subscriptions {
				all = append(all, open())
			}
			if each := (max(used(), before) - before) / subscriptions; each > bar {
				t.Errorf("%d shards: %d B for each idle subscription, want at most %d", shards, each, bar)
			}
			if got := running(); got != 0 {
				t.Errorf("%d shards: %d goroutines of %d idle subscriptions", shards, got, len(all))
			}
			for _, s := range all {
				if err := s.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// savesCounted counts the saves of a store.
type savesCounted struct {
	*checkpoint.Memory
	saves atomic.Int64
}

func (s *savesCounted) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	s.saves.Add(1)
	return s.Memory.Save(ctx, owner, entries)
}

// A start from now stores the first cursors of many aggregates together.
func TestStartStoresFirstCursorsTogether(t *testing.T) {
	const aggregates = 400
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		for k := range aggregates {
			writeOn(t, p, keyOf(k))
		}
		store := &savesCounted{Memory: checkpoint.NewMemory()}
		s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Store: store, Start: stream.FromNow})
		defer func() { _ = s.Close(context.Background()) }()
		if got := until(t, s, caughtUp); len(got) != 1 {
			t.Errorf("%d changes of a start from now", len(got))
		}
		if n := store.saves.Load(); n != 1 {
			t.Errorf("%d saves of %d first cursors", n, aggregates)
		}
	})
}
