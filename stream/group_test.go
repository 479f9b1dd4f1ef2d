package stream_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// remote is the store of all as one process sees it, which can be cut off from it.
type remote struct {
	checkpoint.RecordStore
	cut atomic.Bool
}

var errCut = errors.New("store not reached")

func (r *remote) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	if r.cut.Load() {
		return nil, time.Time{}, errCut
	}
	return r.RecordStore.Records(ctx, name, prefix)
}

func (r *remote) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if r.cut.Load() {
		return errCut
	}
	return r.RecordStore.Apply(ctx, name, m)
}

// fleet is several processes that handle the changes of one scope.
type fleet struct {
	t     *testing.T
	p     *pool.Pool
	store *checkpoint.Memory
	opts  stream.Options

	mu      sync.Mutex
	handled map[msg.Key][]uint64 // versions, in the order in which they were handled
	by      map[string]int       // how many, by process
	slow    time.Duration
}

func newFleet(t *testing.T, p *pool.Pool) *fleet {
	return &fleet{t: t, p: p, store: checkpoint.NewMemory(), opts: stream.Options{Name: "orders", Ownership: stream.Leased},
		handled: make(map[msg.Key][]uint64), by: make(map[string]int)}
}

// runner is one process of the fleet.
type runner struct {
	f     *fleet
	name  string
	store *remote
	sub   *stream.Subscription
	ended chan error

	mu     sync.Mutex
	owned  map[uint32]bool
	events []string
}

func (f *fleet) start(name string) *runner {
	f.t.Helper()
	r := &runner{f: f, name: name, store: &remote{RecordStore: f.store}, ended: make(chan error, 1), owned: make(map[uint32]bool)}
	opts := f.opts
	opts.Store = r.store
	r.sub = openOn(f.t, stream.FromPool(f.p), stream.Types(org, typ), opts)
	go func() { r.ended <- r.sub.Run(context.Background(), r.handle) }()
	return r
}

func (r *runner) handle(ctx context.Context, c stream.Change) error {
	r.mu.Lock()
	switch c.Kind {
	case stream.Gained:
		r.owned[c.Partition] = true
	case stream.Lost:
		delete(r.owned, c.Partition)
		r.events = append(r.events, fmt.Sprintf("lost %v", c.Reason))
	case stream.CaughtUp:
	default:
		owner, ok := checkpoint.OwnerFromContext(ctx)
		if !r.owned[c.Partition] || !ok || owner != c.Owner || owner.Partition != c.Partition {
			r.f.t.Errorf("%s handles %v of partition %d under %+v", r.name, &c, c.Partition, owner)
		}
	}
	r.mu.Unlock()
	if c.Kind != stream.Batch {
		return nil
	}
	time.Sleep(r.f.slow)
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.f.handled[c.Key] = append(r.f.handled[c.Key], c.Batch.Version)
	r.f.by[r.name]++
	return nil
}

func (r *runner) owns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.owned)
}

func (r *runner) close() {
	if err := r.sub.Close(context.Background()); err != nil {
		r.f.t.Error(err)
	}
	if err := <-r.ended; !errors.Is(err, stream.ErrClosed) {
		r.f.t.Errorf("%s ended with %v", r.name, err)
	}
}

// write writes one batch to each of n aggregates.
func (f *fleet) write(n int) {
	for i := range n {
		writeOn(f.t, f.p, keyOf(i))
	}
}

// once asserts that each of n aggregates was handled from its first batch to version,
// each once and in order.
func (f *fleet) once(n int, version uint64) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range n {
		var want []uint64
		for v := uint64(1); v <= version; v++ {
			want = append(want, v)
		}
		if got := f.handled[keyOf(i)]; !slices.Equal(got, want) {
			f.t.Fatalf("aggregate %d: handled %v, want %v", i, got, want)
		}
	}
}

const aggregates = 200

func TestMembersShareAndHandOverWithoutRepeating(t *testing.T) {
	bubble(t, 4, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		f := newFleet(t, p)
		f.write(aggregates)
		one := f.start("one")
		time.Sleep(time.Second)
		f.once(aggregates, 1) // as soon as with one owner

		f.slow = 3 * time.Millisecond
		version := uint64(1)
		load := func(rounds int) {
			for range rounds {
				f.write(aggregates)
				version++
				time.Sleep(500 * time.Millisecond)
			}
		}
		two := f.start("two")
		load(20)
		three := f.start("three")
		load(30)
		for _, r := range []*runner{one, two, three} {
			if n := r.owns(); n != 21 && n != 22 {
				t.Errorf("%s owns %d of 64 partitions", r.name, n)
			}
		}
		two.close()
		load(20)
		time.Sleep(20 * time.Second)
		if one.owns() != 32 || three.owns() != 32 {
			t.Errorf("the others own %d and %d of 64 partitions", one.owns(), three.owns())
		}
		f.once(aggregates, version)
		if f.by["one"] == 0 || f.by["two"] == 0 || f.by["three"] == 0 {
			t.Errorf("handled by %v", f.by)
		}
		one.close()
		three.close()
		records, _, err := f.store.Records(context.Background(), "", "member/")
		if err != nil || len(records) > 0 {
			t.Errorf("heartbeats are left: %v, %v", records, err)
		}
	})
}

// A member that is cut off from the store stops within its TTL, another takes over
// within the TTL and two seconds, and the cut one comes back when it can.
//
//covers:g17
func TestTakeOverFromAMemberThatIsCutOff(t *testing.T) {
	bubble(t, 4, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		f := newFleet(t, p)
		f.write(aggregates)
		one, two := f.start("one"), f.start("two")
		time.Sleep(30 * time.Second)
		if one.owns() != 32 || two.owns() != 32 {
			t.Fatalf("they own %d and %d of 64 partitions", one.owns(), two.owns())
		}
		f.addUp(one, two)
		one.store.cut.Store(true)
		time.Sleep(lease.DefaultTTL + 2*time.Second)
		f.write(aggregates)
		time.Sleep(time.Second)
		if one.owns() != 0 || two.owns() != 64 {
			t.Fatalf("they own %d and %d of 64 partitions", one.owns(), two.owns())
		}
		f.once(aggregates, 2)
		if !slices.Contains(one.events, "lost expired") {
			t.Errorf("the cut one saw %v", one.events)
		}
		one.store.cut.Store(false)
		time.Sleep(30 * time.Second)
		if one.owns() != 32 || two.owns() != 32 {
			t.Fatalf("they own %d and %d of 64 partitions", one.owns(), two.owns())
		}
		f.write(aggregates)
		time.Sleep(2 * time.Second)
		f.once(aggregates, 3)
		one.close()
		two.close()
	})
}

// addUp asserts that the members' numbers count each partition and each aggregate that is
// set aside once.
func (f *fleet) addUp(members ...*runner) {
	f.t.Helper()
	var all []msg.Key
	for i := range aggregates {
		all = append(all, keyOf(i))
	}
	partitions, parked := 0, 0
	for _, r := range members {
		r.sub.ReportParked(all)
		stats := r.sub.Stats()
		partitions += stats.Partitions
		parked += stats.Parked
		if stats.OfPartitions != 64 {
			f.t.Errorf("%s knows of %d partitions", r.name, stats.OfPartitions)
		}
	}
	if partitions != 64 || parked != aggregates {
		f.t.Errorf("all members own %d of 64 partitions, and %d of %d parked aggregates", partitions, parked, aggregates)
	}
	time.Sleep(lease.DefaultTTL)
	progress, err := lease.ReadProgress(context.Background(), f.store, "orders")
	if err != nil || progress.Parked != aggregates {
		f.t.Errorf("the heartbeats tell of %d parked: %v", progress.Parked, err)
	}
}

func TestAHandlerEndsWithItsLease(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		store := &remote{RecordStore: checkpoint.NewMemory()}
		s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Name: "orders", Ownership: stream.Leased, Store: store, LeaseTTL: 3 * time.Second})
		defer func() { _ = s.Close(context.Background()) }()
		writeOn(t, p, keyOf(1))
		began := make(chan time.Time, 1)
		over := make(chan error, 1)
		go func() {
			_ = s.Run(context.Background(), func(ctx context.Context, c stream.Change) error {
				if c.Kind == stream.Batch && len(over) == 0 {
					began <- time.Now()
					<-ctx.Done()
					over <- context.Cause(ctx)
				}
				return nil
			})
		}()
		at := <-began
		time.Sleep(10 * time.Second)
		if len(over) > 0 {
			t.Fatalf("the handler ended after %v with its lease in force: %v", time.Since(at), <-over)
		}
		store.cut.Store(true)
		at = time.Now()
		if err := <-over; !errors.Is(err, stream.ErrLeaseEnded) || time.Since(at) > 3*time.Second {
			t.Errorf("ended after %v with %v", time.Since(at), err)
		}
		store.cut.Store(false)
	})
}

func TestCommitsOfLostPartitionsEndNothing(t *testing.T) {
	bubble(t, 2, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		for i := range 20 {
			writeOn(t, p, keyOf(i))
		}
		store := checkpoint.NewMemory()
		s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Name: "orders", Ownership: stream.Leased, Store: store, Partitions: 4})
		defer func() { _ = s.Close(context.Background()) }()
		var changes []stream.Change
		for len(changes) == 0 || changes[len(changes)-1].Kind != stream.CaughtUp {
			next, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			changes = append(changes, next...)
		}
		synctest.Wait()
		// Somebody takes partition 2 without asking.
		key := checkpoint.PartitionKey(2)
		stolen := []byte(`{"format":1,"epoch":99,"token":"` + checkpoint.NewToken().String() + `","process":"thief","member":"thief/1"}`)
		if err := store.Apply(t.Context(), "orders", checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: key, Value: stolen, Any: true}}}); err != nil {
			t.Fatal(err)
		}
		entries := stream.Entries(changes)
		var lost *stream.LostError
		if err := s.Commit(t.Context(), entries); !errors.As(err, &lost) || !slices.Equal(lost.Partitions, []uint32{2}) {
			t.Fatalf("commit: %v", err)
		}
		if errors.Is(error(lost), checkpoint.ErrFenced) || s.Err() != nil {
			t.Errorf("the subscription ended with %v", s.Err())
		}
		owner := make(map[msg.Key]uint32)
		for _, c := range changes {
			owner[c.Key] = c.Partition
		}
		stored := 0
		for _, e := range entries {
			cursors, err := store.Load(t.Context(), "orders", []msg.Key{e.Key})
			if err != nil {
				t.Fatal(err)
			}
			if cursors[0].IsZero() != (owner[e.Key] == 2) {
				t.Errorf("partition %d: stored %v", owner[e.Key], cursors[0])
			}
			if !cursors[0].IsZero() {
				stored++
			}
		}
		if stored == 0 || stored == len(entries) {
			t.Fatalf("%d of %d cursors are stored: nothing was shown", stored, len(entries))
		}
		// The partition is nobody's who is alive, so it comes back, and what was not
		// stored with it.
		again := make(map[msg.Key]bool)
		for len(again) < len(entries)-stored {
			next, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range next {
				if c.Kind == stream.Batch {
					again[c.Key] = true
				}
			}
			if err := s.Commit(t.Context(), stream.Entries(next)); err != nil {
				t.Fatal(err)
			}
		}
		for key := range again {
			if owner[key] != 2 {
				t.Errorf("%v of partition %d came again", key, owner[key])
			}
		}
	})
}

func TestLeasesAreRefusedWithBothValues(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		store := checkpoint.NewMemory()
		open := func(o stream.Options) (*stream.Subscription, error) {
			o.Name, o.Ownership, o.Store = "orders", stream.Leased, store
			return stream.Open(t.Context(), stream.FromPool(p), stream.Types(org, typ), o)
		}
		first, err := open(stream.Options{HandlerVersion: "v1"})
		if err != nil {
			t.Fatal(err)
		}
		var definition *lease.DefinitionError
		for _, o := range []stream.Options{
			{HandlerVersion: "v2"}, {HandlerVersion: "v1", Partitions: 32}, {HandlerVersion: "v1", PartitionBy: stream.ByOrg},
		} {
			if s, err := open(o); !errors.As(err, &definition) || definition.Stored == definition.Wanted {
				t.Errorf("%+v: %v, %v", o, s, err)
			}
		}
		for _, o := range []stream.Options{{LeaseTTL: time.Second}, {Start: stream.LiveOnly}, {Partitions: 5000}, {Range: stream.HashShare(0, 2)}} {
			if _, err := open(o); err == nil {
				t.Errorf("%+v is accepted", o)
			}
		}
		if first.Err() != nil {
			t.Fatalf("the first member ended with %v", first.Err())
		}
		next, err := open(stream.Options{HandlerVersion: "v2", AdoptScope: true})
		if err != nil {
			t.Fatal(err)
		}
		<-first.Done()
		if err := first.Err(); !errors.As(err, &definition) {
			t.Errorf("the member with the former version ended with %v", err)
		}
		until(t, next, caughtUp)
		if err := store.Delete(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint.Signal(t.Context(), store, "orders"); err != nil {
			t.Fatal(err)
		}
		writeOn(t, p, keyOf(1))
		for next.Err() == nil {
			changes, err := next.Next(t.Context())
			if err == nil {
				_ = next.Commit(t.Context(), stream.Entries(changes))
			}
		}
		if err := next.Err(); !errors.Is(err, checkpoint.ErrDeleted) {
			t.Errorf("after the deletion: %v", err)
		}
		<-next.Done()
		if names := slices.Collect(maps.Keys(maps.Collect(store.Names(t.Context())))); len(names) > 0 {
			t.Errorf("%v was made again", names)
		}
	})
}

//covers:definitions
func TestARepartitionMovesNoCursor(t *testing.T) {
	bubble(t, 3, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		f := newFleet(t, p)
		f.write(aggregates)
		one, two := f.start("one"), f.start("two")
		time.Sleep(20 * time.Second)
		if err := stream.Repartition(t.Context(), stream.FromPool(p), f.store, "orders", 10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		f.write(aggregates)
		time.Sleep(2 * time.Second)
		if one.owns() != 6 || two.owns() != 6 { // a multiple of three shards
			t.Errorf("they own %d and %d of 12 partitions", one.owns(), two.owns())
		}
		f.write(aggregates)
		time.Sleep(2 * time.Second)
		f.once(aggregates, 3)
		one.close()
		two.close()
	})
}

// A subscription with leases watches only the shards of its partitions.
func TestMembersWatchTheShardsOfTheirPartitions(t *testing.T) {
	for _, routing := range []msg.RoutingRule{msg.RouteByAggregate, msg.RouteByType, msg.RouteByOrg} {
		for _, reserve := range []bool{false, true} {
			t.Run(fmt.Sprint(routing, reserve), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					node, err := celerianttest.Start(celerianttest.Options{InMemory: true, Shards: 5, Routing: routing, ReserveCoordinator: reserve, Clock: new(strictClock)})
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = node.Close() }()
					p := newPool(t, pool.Options{Address: "node:1", Dial: node.DialContext})
					defer func() { _ = p.Close(context.Background()) }()
					f := newFleet(t, p)
					f.opts.Partitions = 4
					if !reserve {
						f.opts.Partitions = 5
					}
					var all []*runner
					for i := range f.opts.Partitions {
						all = append(all, f.start(fmt.Sprint(i)))
					}
					f.write(20)
					time.Sleep(60 * time.Second)
					f.write(20)
					time.Sleep(time.Second)
					f.once(20, 2)
					if n := p.Stats().Nodes[0].Watches; n != int(f.opts.Partitions) {
						t.Errorf("%d shards are watched by %d processes", n, f.opts.Partitions)
					}
					for _, r := range all {
						if r.owns() != 1 {
							t.Errorf("%s has %d partitions", r.name, r.owns())
						}
						r.close()
					}
				})
			})
		}
	}
}

// counting counts the calls that reach a store.
type counting struct {
	remote
	calls atomic.Int64
}

func (c *counting) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	c.calls.Add(1)
	return c.remote.Records(ctx, name, prefix)
}

func (c *counting) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	c.calls.Add(1)
	return c.remote.Apply(ctx, name, m)
}

func (c *counting) Exchange(ctx context.Context, name string, change checkpoint.RecordChange, prefix string) ([]checkpoint.Record, time.Time, error) {
	c.calls.Add(1)
	return checkpoint.Exchange(ctx, &c.remote, name, change, prefix)
}

// Twenty subscriptions of one process cost one statement in five seconds at rest.
func TestSubscriptionsShareOneHeartbeat(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		store := &counting{remote: remote{RecordStore: checkpoint.NewMemory()}}
		var all []*stream.Subscription
		for i := range 20 {
			s := openOn(t, stream.FromPool(p), stream.Types(org, typ), stream.Options{Name: fmt.Sprint("s", i), Ownership: stream.Leased, Store: store})
			until(t, s, caughtUp)
			all = append(all, s)
		}
		time.Sleep(30 * time.Second)
		before := store.calls.Load()
		time.Sleep(100 * time.Second)
		if n := store.calls.Load() - before; n < 19 || n > 21 {
			t.Errorf("%d statements in 100 s", n)
		}
		progress, err := lease.ReadProgress(t.Context(), store, "s7")
		if err != nil || len(progress.Members) != 1 || len(progress.Members[0].Holds) != 64 || progress.Members[0].Summary.State != "live" || len(progress.Unowned) > 0 {
			t.Errorf("progress %+v, %v", progress, err)
		}
		for _, s := range all {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
