package stream_test

import (
	"context"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// byHand is a rebuild whose changes a test takes itself.
type byHand struct {
	t   *testing.T
	sub *stream.Subscription
}

func (v *versions) openByHand(o stream.Options) *byHand {
	v.t.Helper()
	o.Name, o.Store, o.RebuildOf, o.Probe = "orders@2", v.store, "orders", -1
	sub, err := stream.Open(v.t.Context(), stream.FromPool(v.p), stream.Types(org, typ), o)
	if err != nil {
		v.t.Fatal(err)
	}
	return &byHand{v.t, sub}
}

// next returns what comes within a minute, nil for nothing.
func (b *byHand) next() []stream.Change {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	changes, err := b.sub.Next(ctx)
	if err != nil && ctx.Err() == nil {
		b.t.Fatal(err)
	}
	return changes
}

// replay wants one change, a replay of the kind, and stores its position.
func (b *byHand) replay(kind stream.Kind) {
	b.t.Helper()
	changes := b.next()
	if len(changes) != 1 || changes[0].Kind != kind || !changes[0].Replay {
		b.t.Fatalf("%v came, want a replayed %v", changes, kind)
	}
	b.commit(changes)
}

func (b *byHand) commit(changes []stream.Change) {
	b.t.Helper()
	if err := b.sub.Commit(b.t.Context(), stream.Entries(changes)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *byHand) nothing() {
	b.t.Helper()
	if changes := b.next(); len(changes) > 0 {
		b.t.Errorf("%v came", changes)
	}
}

func (b *byHand) close() { _ = b.sub.Close(context.Background()) }

// handles lets a process of the predecessor handle all there is.
func (v *versions) handles() {
	v.t.Helper()
	old := v.mustStart("orders")
	rest()
	old.stop()
}

// An aggregate that waits is read on from its stored position: it goes on only once
// what was delivered before is stored, or that would come again.
func TestRebuildGoesOnBehindWhatIsStored(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		v := newVersions(t, p, stream.Options{Probe: -1})
		writeOn(t, p, keyOf(1))
		v.handles()
		writeOn(t, p, keyOf(1))
		fresh := v.openByHand(stream.Options{})
		defer fresh.close()
		first := fresh.next()
		if len(first) != 1 || first[0].Batch.Version != 1 {
			t.Fatalf("%v came", first)
		}
		v.handles()
		fresh.nothing()
		fresh.commit(first)
		fresh.replay(stream.Batch)
	})
}

// The rebuild is current only once it has handled what its predecessor had handled when
// it was fenced, and until then all of that is a replay.
//
//covers:g19
func TestRebuildIsCurrentOnceItHasDrained(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		v := newVersions(t, p, stream.Options{Probe: -1})
		for i := range 3 {
			writeOn(t, p, keyOf(i))
		}
		v.handles()
		fresh := v.openByHand(stream.Options{})
		defer fresh.close()
		if _, err := rebuild.CutOver(t.Context(), v.store, "orders@2", "test"); err != nil {
			t.Fatal(err)
		}
		rest()
		for handled := 0; handled < 3; {
			if r, _ := fresh.sub.Rebuild(); r.State != rebuild.Draining {
				t.Fatalf("%v after %d of 3", r.State, handled)
			}
			changes := fresh.next()
			for _, c := range changes {
				if c.Kind == stream.Batch && !c.Replay {
					t.Errorf("%v is no replay", c)
				}
				handled++
			}
			fresh.commit(changes)
		}
		rest()
		if r, _ := fresh.sub.Rebuild(); r.State != rebuild.Current {
			t.Errorf("%v in the end", r.State)
		}
	})
}

// Below the predecessor's position a batch is a replay only if it is of the same log: the
// batch at that position tells, whether or not the slice holds it. Here the event store
// was replaced by one with another history.
func TestRebuildTellsLogsApart(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		const batches = 40 // more than one slice holds
		v := newVersions(t, p, stream.Options{Probe: -1})
		for range batches {
			writeOn(t, p, keyOf(1))
		}
		v.handles()
		other, err := celerianttest.Start(celerianttest.Options{InMemory: true, Shards: 1, Clock: new(strictClock)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		v.p = newPool(t, pool.Options{Address: "node:1", Dial: other.DialContext})
		defer func() { _ = v.p.Close(context.Background()) }()
		for range batches {
			if _, err := v.p.WriteEvents(t.Context(), keyOf(1), []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 8<<10)}}, clientID, pool.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		fresh := v.openByHand(stream.Options{Buffer: 1 << 10})
		defer fresh.close()
		fresh.nothing()
		v.handles()
		for next := uint64(1); next <= batches; {
			changes := fresh.next()
			if len(changes) == 0 {
				t.Fatalf("version %d does not come", next)
			}
			for i := range changes {
				if c := &changes[i]; c.Kind != stream.Batch || c.Batch.Version != next || !c.Replay {
					t.Fatalf("%v came, want version %d again", c, next)
				}
				next++
			}
			fresh.commit(changes)
		}
	})
}

// The end of a life is handled by the predecessor first, too.
func TestRebuildWaitsWithTheEndOfALife(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		v := newVersions(t, p, stream.Options{Probe: -1})
		writeOn(t, p, keyOf(1))
		v.handles()
		fresh := v.openByHand(stream.Options{})
		defer fresh.close()
		fresh.replay(stream.Batch)
		if err := p.DeleteAggregate(t.Context(), keyOf(1), clientID, pool.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		fresh.nothing()
		v.handles()
		fresh.replay(stream.Deleted)
	})
}
