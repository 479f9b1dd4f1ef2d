package requests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var watchRules = []world.Rule{
	{Name: "watch_tells_each_change", Check: watchTells},
	{Name: "watch_has_no_history", Check: watchHistory},
	{Name: "watch_filters", Check: watchFilters},
	{Name: "watch_ranges_tile", Check: watchTiles},
	{Name: "watch_latency", Check: watchLatency, Waits: true},
	{Name: "watch_heartbeats", Check: watchHeartbeats, Waits: true},
	{Name: "watch_refused", Check: watchRefused},
	{Name: "watch_is_hardly_ahead_of_reads", Check: watchNotAhead},
	{Name: "watch_fresh_recreation_is_a_create", Check: watchRecreation},
}

// ear is a watch on every shard, heard as one.
type ear struct {
	t      *testing.T
	frames chan []msg.Notification
}

// listen watches every shard with the same filters; the acknowledgements are in
// when it returns.
func listen(t *testing.T, w *world.World, filter msg.WatchRequest) *ear {
	t.Helper()
	e := &ear{t, make(chan []msg.Notification, 10_000)}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	for shard := range w.Shards {
		req := filter
		req.Shard = msg.Some(shard)
		watch, err := w.Pool.Watch(t.Context(), &req)
		world.Must(t, err)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				frame, err := watch.Next(ctx)
				if err != nil {
					return
				}
				e.frames <- slices.Clone(frame)
			}
		}()
		t.Cleanup(func() {
			stop()
			_ = watch.Close()
			<-ended
		})
	}
	return e
}

// next returns the next notification frames, n notifications in all.
func (e *ear) next(n int) []msg.Notification {
	e.t.Helper()
	var all []msg.Notification
	limit := time.After(20 * time.Second)
	for len(all) < n {
		select {
		case f := <-e.frames:
			all = append(all, f...)
		case <-limit:
			e.t.Fatalf("heard %v and no more, want %d", all, n)
		}
	}
	return all
}

// want demands exactly these, in order.
func (e *ear) want(want ...msg.Notification) {
	e.t.Helper()
	if got := e.next(len(want)); !slices.Equal(got, want) {
		e.t.Fatalf("heard %v\nwant %v", got, want)
	}
}

func created(k msg.Key) msg.Notification { return msg.Notification{Key: k, Operation: msg.OpCreate} }
func removed(k msg.Key) msg.Notification { return msg.Notification{Key: k, Operation: msg.OpDelete} }
func wrote(k msg.Key, from, to uint64) msg.Notification {
	return msg.Notification{Key: k, Operation: msg.OpWrite, From: msg.Some(from), To: msg.Some(to)}
}

func trimmed(k msg.Key, keepFrom uint64) msg.Notification {
	return msg.Notification{Key: k, Operation: msg.OpTrimStart, KeepFrom: msg.Some(keepFrom)}
}

func watchTells(t *testing.T, w *world.World) {
	e := listen(t, w, msg.WatchRequest{Orgs: []msg.ID{w.Org}})
	key := w.Key()
	w.Write(t, key, "1")
	e.want(created(key), wrote(key, 1, 1))
	w.Write(t, key, "2", "3")
	e.want(wrote(key, 2, 2))
	w.Trim(t, key, 1) // no change
	w.Trim(t, key, 2)
	e.want(trimmed(key, 2))
	w.Trim(t, key, 2) // no change
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	e.want(removed(key))
	w.Write(t, key, "4")
	e.want(wrote(key, 3, 3))
}

func watchRecreation(t *testing.T, w *world.World) {
	key := w.Grown(t, 3)
	e := listen(t, w, msg.WatchRequest{Orgs: []msg.ID{w.Org}})
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	e.want(removed(key))
	w.Write(t, key, "1")
	e.want(created(key), wrote(key, 1, 1))
	second := w.Write(t, key, "2")
	e.want(wrote(key, second, second))
}

func watchHistory(t *testing.T, w *world.World) {
	key := w.Grown(t, 3)
	e := listen(t, w, msg.WatchRequest{Orgs: []msg.ID{w.Org}})
	w.Write(t, key, "4")
	e.want(wrote(key, 4, 4))
}

// Each filter lets through what it names: of two changes of which only the
// second passes, the second is heard first.
func watchFilters(t *testing.T, w *world.World) {
	a, b := w.Key(), w.Key()
	b.Type = world.RandomID()
	for name, c := range map[string]struct {
		filter msg.WatchRequest
		hidden msg.Key
		heard  msg.Key
	}{
		"aggregate": {msg.WatchRequest{Aggregates: []msg.ID{b.Aggregate}}, a, b},
		"type":      {msg.WatchRequest{Types: []msg.ID{world.RandomID(), b.Type}}, a, b},
		"all three": {msg.WatchRequest{Orgs: []msg.ID{w.Org}, Types: []msg.ID{a.Type}, Aggregates: []msg.ID{a.Aggregate}}, b, a},
	} {
		t.Run(name, func(t *testing.T) {
			e := listen(t, w, c.filter)
			w.Write(t, c.hidden, "x")
			version := w.Write(t, c.heard, "x")
			got := e.next(1)
			if got[0].Operation == msg.OpCreate {
				got = append(got[1:], e.next(1)...)
			}
			world.Same(t, "heard", got[0], wrote(c.heard, version, version))
		})
	}
	t.Run("operations", func(t *testing.T) {
		e := listen(t, w, msg.WatchRequest{Orgs: []msg.ID{w.Org}, Operations: []msg.Operation{msg.OpDelete, msg.OpTrimStart}})
		key := w.Grown(t, 3)
		w.Trim(t, key, 2)
		e.want(trimmed(key, 2))
		w.Delete(t, msg.AggregateDelete{Key: key})
		e.want(removed(key))
	})
	t.Run("routed by an aggregate", func(t *testing.T) {
		key := w.Key()
		watch, err := w.Pool.Watch(t.Context(), &msg.WatchRequest{Aggregates: []msg.ID{key.Aggregate}, Types: []msg.ID{key.Type}, Orgs: []msg.ID{key.Org}})
		world.Must(t, err)
		defer watch.Close()
		w.Write(t, key, "x")
		for heard := 0; heard < 2; {
			frame, err := watch.Next(t.Context())
			world.Must(t, err)
			heard += len(frame)
		}
	})
}

// The ranges told of one aggregate tile, however the writes were grouped.
func watchTiles(t *testing.T, w *world.World) {
	e := listen(t, w, msg.WatchRequest{Orgs: []msg.ID{w.Org}, Operations: []msg.Operation{msg.OpWrite}})
	keys := []msg.Key{w.Key(), w.Key(), w.Key()}
	const each = 40
	var writers []<-chan error
	for range 4 {
		for _, key := range keys {
			failed := make(chan error, 1)
			writers = append(writers, failed)
			go func() {
				for range each / 4 {
					if _, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x")}, w.Client, pool.WriteOptions{}); err != nil {
						failed <- err
						return
					}
				}
				failed <- nil
			}()
		}
	}
	for _, failed := range writers {
		world.Must(t, <-failed)
	}
	last := map[msg.Key]uint64{}
	for last[keys[0]] < each || last[keys[1]] < each || last[keys[2]] < each {
		for _, n := range e.next(1) {
			if n.From.Value != last[n.Key]+1 || n.To.Value < n.From.Value {
				t.Fatalf("%d-%d follows %d", n.From.Value, n.To.Value, last[n.Key])
			}
			last[n.Key] = n.To.Value
		}
	}
}

// With a latency a burst comes in few frames, merged, and nothing is missing.
func watchLatency(t *testing.T, w *world.World) {
	e := listen(t, w, msg.WatchRequest{Orgs: []msg.ID{w.Org}, LatencyMS: msg.Some[uint64](300)})
	key := w.Key()
	w.Write(t, key, "x")
	const last = 30
	for range last - 1 {
		w.Write(t, key, "x")
	}
	told, heard := uint64(0), 0
	for told < last {
		for _, n := range e.next(1) {
			if n.Operation == msg.OpWrite {
				if heard++; n.From.Value != told+1 {
					t.Fatalf("%d-%d follows %d", n.From.Value, n.To.Value, told)
				}
				told = n.To.Value
			}
		}
	}
	if heard > last/2 {
		t.Errorf("%d writes came as %d notifications", last, heard)
	}
}

func watchHeartbeats(t *testing.T, w *world.World) {
	start := time.Now() // before the acknowledgement, which may be noticed late
	watch, err := w.Pool.Watch(t.Context(), &msg.WatchRequest{Shard: msg.Some[uint64](0), Orgs: []msg.ID{world.RandomID()}})
	world.Must(t, err)
	defer watch.Close()
	frame, err := watch.Next(t.Context())
	world.Must(t, err)
	world.Same(t, "notifications in a heartbeat", len(frame), 0)
	if took := time.Since(start); took < w.Server.Heartbeat*4/5 || took > w.Server.Heartbeat+10*time.Second {
		t.Errorf("the first heartbeat came after %v", took)
	}
}

func watchRefused(t *testing.T, w *world.World) {
	watch := func(req *msg.WatchRequest) error {
		got, err := w.Pool.Watch(t.Context(), req)
		if err == nil {
			_ = got.Close()
		}
		return err
	}
	f := world.Refused(t, watch(&msg.WatchRequest{Shard: msg.Some[uint64](0), LatencyMS: msg.Some[uint64](1 << 40)}), msg.CodeWatchLatency)
	if f.RequestedMS != msg.Some[uint64](1<<40) || !f.MaxMS.Set {
		t.Errorf("requested %v, at most %v", f.RequestedMS, f.MaxMS)
	}
	world.Same(t, "shards", world.Refused(t, watch(&msg.WatchRequest{Shard: msg.Some(w.Shards)}), msg.CodeRouting).NumShards, msg.Some(w.Shards))
	world.Refused(t, watch(&msg.WatchRequest{}), msg.CodeRouting)
	var many []msg.ID
	for range 100 {
		many = append(many, world.RandomID())
	}
	if err := watch(&msg.WatchRequest{Shard: msg.Some[uint64](0), Aggregates: many}); !errors.Is(err, pool.ErrTooLarge) {
		t.Errorf("%d ids gave %v", len(many), err)
	}
	if err := watch(&msg.WatchRequest{Shard: msg.Some[uint64](0), Aggregates: []msg.ID{}}); err != nil {
		t.Error(fmt.Errorf("an empty filter for a named shard: %w", err))
	}
}

// A node shows each change that it notifies, but for the leader of a cluster: that
// one can show it a moment later.
func watchNotAhead(t *testing.T, w *world.World) {
	leader, err := w.Pool.Leader(t.Context())
	world.Must(t, err)
	node, err := w.Pool.At(leader)
	world.Must(t, err)
	const keys, each = 4, 50
	var writers sync.WaitGroup
	defer writers.Wait()
	behind, told, latest := 0, 0, time.Duration(0)
	watches := make([]*pool.Watch, w.Shards)
	for shard := range w.Shards { // whichever shard the keys are of
		watches[shard], err = node.Watch(t.Context(), &msg.WatchRequest{Shard: msg.Some(shard), Orgs: []msg.ID{w.Org}, Operations: []msg.Operation{msg.OpWrite}})
		world.Must(t, err)
		defer watches[shard].Close()
	}
	first := w.Key()
	for i := range keys {
		key := w.Sibling(first)
		writers.Go(func() {
			for range each {
				if _, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(uint64(i), "x")}, w.Client, pool.WriteOptions{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	frames := make(chan []msg.Notification)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for _, watch := range watches {
		go func() {
			for {
				frame, err := watch.Next(ctx)
				if err != nil {
					return
				}
				select {
				case frames <- slices.Clone(frame):
				case <-ctx.Done():
				}
			}
		}()
	}
	for told < keys*each {
		for _, n := range <-frames {
			told += int(n.To.Value - n.From.Value + 1)
			if late := shownAfter(t, node, n); late > 0 {
				behind, latest = behind+1, max(latest, late)
			}
		}
	}
	if behind > 0 {
		t.Logf("of %d versions notified %d could not be read at once at %s, one only after %v", told, behind, leader, latest)
	}
	if behind > 0 && !w.Server.Pair() || latest > time.Second {
		t.Error("a subscription that reads when it is notified would miss them")
	}
}

// shownAfter waits until a node shows what it has notified and returns how long
// that took, 0 if the first read shows it.
func shownAfter(t *testing.T, node *pool.View, n msg.Notification) time.Duration {
	t.Helper()
	start := time.Now()
	for tries := 0; ; tries++ {
		page, err := node.Read(t.Context(), &msg.ReadRequest{Key: n.Key, Filters: msg.ReadFilters{From: n.From.Value}})
		if err != nil {
			world.Refused(t, err, msg.CodeReadNotFound)
		} else if k := len(page.Batches); k > 0 && page.Batches[k-1].Version >= n.To.Value {
			if tries == 0 {
				return 0
			}
			return time.Since(start)
		}
		if time.Since(start) > 20*time.Second {
			t.Fatalf("%v was notified 20 s ago and is not shown", n)
		}
	}
}
