package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// hold holds aggregates, of which the consumer drops what it has.
func (r *rig) hold(keys ...msg.Key) {
	r.drop(keys...)
	r.e.Hold(r.now, keys)
	r.collect()
}

func (r *rig) release(keys ...msg.Key) { r.e.Release(r.now, keys); r.collect() }

func (r *rig) redo(key msg.Key) { r.e.Redo(r.now, key); r.collect() }

func (r *rig) own(partitions ...uint32) { r.e.SetOwned(r.now, partitions); r.collect() }

// drop forgets deliveries that are not committed.
func (r *rig) drop(keys ...msg.Key) {
	kept := r.delivered[:0]
	for _, change := range r.delivered {
		dropped := false
		for _, key := range keys {
			dropped = dropped || change.Key == key
		}
		if !dropped {
			kept = append(kept, change)
		}
	}
	r.delivered = kept
}

func TestHold(t *testing.T) {
	check(t, []rule{
		{name: "nothing is read of a held aggregate, and others go on", script: func(r *rig) {
			r.live(1)
			r.hold(a)
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1))
			r.want("read b 1-8")
			r.release(a)
			r.want("read a 1-8")
		}},
		{name: "a released aggregate is read to its end, whatever floor was heard of", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.hold(a)
			r.frame(trimmed(a, 2))
			r.release(a)
			r.want("read a 3-11")
			r.page(a, run("x", 3, 11)...)
			r.want("a 0.4, a 0.5, a 0.6, a 0.7, a 0.8, a 0.9, a 0.10, a 0.11", "read a 11-19")
		}},
		{name: "what is under way is dropped and read again from the stored cursor", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 2))
			r.live(1)
			r.frame(wrote(a, 3, 3))
			r.want("read a 2-10")
			r.hold(a)
			r.page(a, run("x", 2, 3)...)
			r.want()
			r.release(a)
			r.want("read a 2-10")
			r.page(a, run("x", 2, 3)...)
			r.want("a 0.3")
		}},
		{name: "what was delivered and is not committed is delivered again", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 2))
			r.page(a, run("x", 1, 2)...)
			r.hold(a)
			r.skip()
			r.release(a)
			r.want("read a 1-8")
			r.elsewhere(a) // a node that lags is not believed
			r.want("read a 1-1")
			r.elsewhere(a, in("x", 1))
			r.want("a 0.1", "read a 2-9")
		}},
		{name: "a look-up and a commit cross: the further cursor counts", script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.hold(a)
			r.frame(wrote(a, 9, 9))
			r.release(a)
			r.e.Committed(r.now, []checkpoint.Entry{{Key: a, Cursor: at(0, in("x", 4))}})
			r.load()
			r.want("load a", "read a 4-12")
		}},
		{name: "a life that began among the dropped deliveries is looked for again", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a), created(a), wrote(a, 1, 1))
			r.page(a)
			r.page(a, in("y", 1))
			r.want("read a 3-11", "a reset", "read a 1-8 at the leader", "a 1.1")
			r.hold(a)
			r.release(a)
			r.page(a, in("x", 3)) // not shown yet
			r.want("read a 3-11")
			r.pass(50 * time.Millisecond)
			r.page(a)
			r.want("read a 3-11", "a reset", "read a 1-8 at the leader")
		}},
		{name: "a delete among them, too", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.fail(a, engine.NotFound)
			r.want("read a 3-11", "a deleted")
			r.hold(a)
			r.release(a)
			r.page(a, in("x", 3)) // shown once more
			r.want("read a 3-11")
			r.pass(50 * time.Millisecond)
			r.fail(a, engine.NotFound)
			r.want("read a 3-11", "a deleted")
		}},
		{name: "what another life has trimmed was not watched", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a), created(a), wrote(a, 1, 1))
			r.page(a)
			r.page(a, in("y", 1))
			r.doubted(func() { r.page(a, in("y", 1)) })
			r.pass(time.Minute)
			r.frame(wrote(a, 2, 2))
			r.skip()
			r.page(a, in("y", 1), in("y", 2))
			r.want("a 1.2")
			r.hold(a)
			r.skip()
			r.release(a)
			r.below(a, 5)
			r.want("read a 3-11", "a reset", "read a 5-12")
		}},
		{name: "what was heard before it was held must show", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 5))
			r.hold(a)
			r.page(a, in("x", 3))
			r.skip()
			r.release(a)
			r.elsewhere(a, run("x", 3, 4)...)
			r.want("read a 3-11", "a 0.4", "read a 4-12 at the leader")
		}},
		{name: "what was delivered before it was held must show", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.page(a, run("x", 3, 6)...)
			r.hold(a)
			r.skip()
			r.release(a)
			r.elsewhere(a, run("x", 3, 5)...)
			r.want("read a 3-11", "a 0.4, a 0.5", "read a 5-13 at the leader")
		}},
		{name: "a trim heard of while it was held is a Truncated, not a Reset", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.hold(a)
			r.frame(wrote(a, 4, 9), trimmed(a, 7))
			r.release(a)
			r.below(a, 7)
			r.want("read a 3-11", "read a 7-14")
		}},
		{name: "a delivery that is dropped keeps continuity", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.page(a, run("x", 3, 4)...)
			r.hold(a)
			r.frame(trimmed(a, 7))
			r.skip()
			r.release(a)
			r.below(a, 7)
			r.want("read a 3-11", "read a 7-14")
		}},
		{name: "what the list finds behind while it is held was not watched since", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.hold(a)
			r.skip()
			r.list(0, listed(a, in("x", 6)))
			r.want("caught up", "live")
			r.frame(trimmed(a, 5))
			r.release(a)
			r.below(a, 5)
			r.want("read a 3-11", "a reset", "read a 5-12")
		}},
		{name: "CaughtUp does not wait for what is held, but for what was released before it", script: func(r *rig) {
			r.stored[a], r.stored[b] = at(0, in("x", 3)), at(0, in("x", 3))
			r.subscribe(1)
			r.hold(a, b)
			r.frame(wrote(b, 4, 4))
			r.release(b)
			r.skip()
			r.list(0, listed(a, in("x", 4)))
			r.want()
			r.page(b, run("x", 3, 4)...)
			r.want("b 0.4", "caught up", "live")
		}},
		{name: "held aggregates take no room of others", options: func(o *engine.Options) { o.MaxLanes = 1 }, script: func(r *rig) {
			r.live(1)
			r.hold(a, b, c)
			r.frame(wrote(a, 1, 1), wrote(d, 1, 1))
			r.want("read d 1-8")
			if s := r.e.Stats(r.now); s.Held != 3 || s.Dirty != 1 {
				r.t.Errorf("%+v", s)
			}
		}},
		{name: "what rested and was not heard of rests on", script: func(r *rig) {
			r.live(1)
			r.hold(a)
			r.release(a)
			r.want()
			if n := r.e.Lanes(); n != 0 {
				r.t.Errorf("%d lanes are left", n)
			}
		}},
		{name: "the list's word that it is deleted beats the read after a release", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.hold(a)
			r.frame(trimmed(a, 2))
			r.list(0, listedDeleted(a))
			r.release(a)
			r.want("caught up", "live")
		}},
		{name: "holding twice and releasing what is not held change nothing", script: func(r *rig) {
			r.live(1)
			r.hold(a)
			r.frame(deleted(a))
			r.hold(a)
			r.release(a, b)
			r.release(a)
			r.want("read a 1-8")
			if s := r.e.Stats(r.now); s.Held != 0 {
				r.t.Errorf("%+v", s)
			}
		}},
		{name: "a read that was dropped counts among the readers until it is answered", options: func(o *engine.Options) { o.Readers = 1 }, script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1))
			r.want("read a 1-16")
			r.hold(a)
			r.want()
			r.page(a, in("x", 1))
			r.want("read b 1-16")
		}},
	})
}

func TestRedo(t *testing.T) {
	check(t, []rule{
		{name: "a Reset, then the history", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.redo(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, run("x", 1, 3)...)
			r.want("a 1.1, a 1.2, a 1.3")
		}},
		{name: "behind a read under way", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.redo(a)
			r.want("read a 3-11")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4", "a reset", "read a 1-8 at the leader")
		}},
		{name: "behind the pass under way, however many reads it has left", script: func(r *rig) {
			silentThroughLives(r)
			r.want("read a 1-1")
			r.redo(a)
			r.page(a, in("x", 1))
			r.want("read a 2-2")
			r.page(a)
			r.want("read a 1-1")
			r.page(a, in("x", 1))
			for _, want := range []string{"read a 2-4", "read a 2-8", "read a 2-16", "read a 2-32", "read a 2-64", "read a 2-128", "read a 2-256"} {
				looksBehindFirst(r, want)
			}
			looksBehindFirst(r, "read a 2-512", in("x", 300))
			r.want("a 0.300", "a reset", "read a 1-8 at the leader")
		}},
		{name: "to its end, whatever floor is heard of meanwhile", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.redo(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.frame(trimmed(a, 2))
			r.page(a, run("x", 1, 8)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4, a 1.5, a 1.6, a 1.7, a 1.8", "read a 8-16 at the leader")
		}},
		{name: "to its end, whatever floor was heard of before", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 8))
			r.live(1)
			r.frame(wrote(a, 9, 9))
			r.page(a, run("x", 8, 9)...)
			r.frame(trimmed(a, 2))
			r.skip()
			r.redo(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, run("x", 1, 8)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4, a 1.5, a 1.6, a 1.7, a 1.8", "read a 8-16 at the leader")
		}},
		{name: "with what was trimmed in between", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 7), trimmed(a, 7))
			r.below(a, 7)
			r.page(a, in("x", 7))
			r.below(a, 7)
			r.want("read a 3-11", "read a 7-14", "a truncated 4-6", "read a 1-0", "a 0.7")
			r.redo(a)
			r.below(a, 7)
			r.want("a reset", "read a 1-8 at the leader", "read a 7-14 at the leader")
		}},
		{name: "CaughtUp waits for it, up to where it was", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 9))
			r.subscribe(1)
			r.frame(wrote(a, 10, 10)) // which tells its shard
			r.redo(a)
			r.page(a, run("x", 9, 10)...)
			r.skip()
			r.list(0)
			r.page(a, run("x", 1, 8)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4, a 1.5, a 1.6, a 1.7, a 1.8", "read a 8-16 at the leader")
			r.page(a, run("x", 8, 16)...)
			r.want("a 1.9, a 1.10, a 1.11, a 1.12, a 1.13, a 1.14, a 1.15, a 1.16", "read a 16-24 at the leader", "caught up", "live")
		}},
		{name: "of what was never delivered there is nothing to reset", script: func(r *rig) {
			r.live(1)
			r.redo(a)
			r.want("read a 1-8")
		}},
		{name: "of a held aggregate once it is released", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.hold(a)
			r.redo(a)
			r.want()
			r.release(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "once more if its Reset was dropped", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.redo(a)
			r.page(a, run("x", 1, 3)...)
			r.hold(a)
			r.skip()
			r.release(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "also if that was one for another reason", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.redo(a)
			r.page(a, in("y", 3))
			r.want("read a 3-11", "a reset", "read a 1-8 at the leader")
			r.hold(a)
			r.release(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "not if that was being stored by then", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.redo(a)
			r.page(a, run("x", 1, 3)...)
			r.stored[a] = at(1, in("x", 2)) // and the engine has not heard of it
			r.hold(a)
			r.skip()
			r.release(a)
			r.want("read a 2-10")
		}},
		{name: "nor if it is held once more before that is known", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.redo(a)
			r.page(a, run("x", 1, 3)...)
			r.stored[a] = at(1, in("x", 2))
			r.hold(a)
			r.byHand = true
			r.release(a)
			r.hold(a)
			r.byHand = false
			r.load() // for the lane that was dropped
			r.skip()
			r.release(a)
			r.want("read a 2-10")
		}},
	})
}

// thirds assigns aggregates to three partitions, each of one shard of three.
func thirds(o *engine.Options) {
	o.Partition = func(key msg.Key) uint32 { return uint32(numberOf(key) % 3) }
	o.PartitionShards = func(p uint32, _ uint64) []uint64 { return []uint64{uint64(p)} }
}

// inOne assigns them to three partitions, of any shard.
func inOne(o *engine.Options) {
	thirds(o)
	o.PartitionShards = nil
}

func TestOwned(t *testing.T) {
	check(t, []rule{
		{name: "only the shards of owned partitions are watched and listed", options: thirds, script: func(r *rig) {
			r.own(1)
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 3)
			r.collect()
			r.want("connecting", "discover", "open 1/0 epoch 1")
			r.ack(1)
			r.want("catching up", "list 1")
			r.list(1, listed(b, in("x", 1)))
			r.page(b, in("x", 1))
			r.want("read b 1-8", "b 0.1", "caught up", "live")
		}},
		{name: "what is gained of a shard that is away starts from now once it is back", options: func(o *engine.Options) {
			inOne(o)
			o.FromNow, o.Started = true, func(key msg.Key) bool { return numberOf(key)%3 == numberOf(b)%3 }
		}, script: func(r *rig) {
			r.own(uint32(numberOf(b) % 3))
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.ack(0)
			r.list(0)
			r.begun(b)
			r.lose(0)
			r.own(uint32(numberOf(a)%3), uint32(numberOf(b)%3))
			r.pass(time.Minute)
			r.skip()
			r.ack(0)
			r.list(0, listed(a, in("x", 3)))
			r.want("catching up", "list 0", "read a 3-3")
		}},
		{name: "what is gained is watched and reconciled, what is lost is left", options: thirds, script: func(r *rig) {
			r.own(1)
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 3)
			r.collect()
			r.ack(1)
			r.list(1)
			r.skip()
			r.own(2)
			r.want("close 1/0 epoch 1", "open 2/0 epoch 1", "catching up")
			r.ack(2)
			r.list(2)
			r.want("list 2", "caught up", "live")
			r.own(1, 2)
			r.want("open 1/0 epoch 2", "catching up")
			r.e.Acked(r.now, link(1), 1, watchedNode) // of the first time
			r.collect()
			r.want()
		}},
		{name: "lanes of what is lost are dropped at once", options: inOne, script: func(r *rig) {
			r.own(0, 1)
			r.subscribe(1)
			r.list(0)
			r.skip()
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1))
			r.want("read a 1-8", "read b 1-8")
			r.own(1)
			r.page(a, in("x", 1))
			r.page(b, in("x", 1))
			r.want("b 0.1")
		}},
		{name: "what is gained in a watched shard is found by its list, from the store", options: func(o *engine.Options) {
			inOne(o)
			o.Recent = 8
		}, script: func(r *rig) {
			r.own(0, 1)
			r.subscribe(1)
			r.list(0)
			r.frame(wrote(a, 1, 1))
			r.page(a, in("x", 1))
			r.commit() // rests, and its cursor is held
			r.own(1)
			r.frame(wrote(a, 2, 5))
			r.skip()
			r.stored[a] = at(0, in("x", 4)) // by another owner
			r.own(0, 1)
			r.want("catching up", "list 0")
			r.frame(wrote(a, 6, 6))
			r.want("read a 4-12")
		}},
		{name: "a page looked up while its partition left is passed over", options: inOne, script: func(r *rig) {
			r.own(0, 1)
			r.subscribe(1)
			r.byHand = true
			r.list(0, listed(a, in("x", 1)), listed(b, in("x", 1)))
			r.own(1)
			r.skip()
			r.load()
			r.want("read b 1-8")
		}},
		{name: "pages of the list before are not those of the next", options: inOne, script: func(r *rig) {
			r.own(0)
			r.subscribe(1)
			before := r.lists[0]
			r.own(0, 1)
			r.skip()
			r.e.Listed(r.now, 0, before, leaderNode, nil, msg.None[uint64]())
			r.collect()
			r.want()
			r.list(0)
			r.want("caught up", "live")
		}},
		{name: "an unlisted member of a partition that is not owned is not read", options: func(o *engine.Options) {
			inOne(o)
			o.Explicit = []msg.Key{a, b}
		}, script: func(r *rig) {
			r.own(1)
			r.subscribe(1)
			r.skip()
			r.list(0)
			r.want("read b 1-8")
		}},
	})
}
