package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

func TestShards(t *testing.T) {
	check(t, []rule{
		{name: "CaughtUp waits for what the shards that are well have heard of", script: func(r *rig) {
			r.live(2)
			r.frameOn(1, wrote(a, 1, 1))
			r.want("read a 1-8")
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0)
			r.want()
			r.page(a, in("x", 1))
			r.want("a 0.1", "caught up", "live")
		}},
		{name: "every watch is acknowledged before anything is listed, everything is listed before it is live", script: func(r *rig) {
			r.e.Start(r.now)
			r.collect()
			r.want("connecting", "discover")
			r.e.ShardsKnown(r.now, 2)
			r.collect()
			r.want("open 0/0 epoch 1", "open 1/0 epoch 1")
			r.ack(0)
			r.want("list 0")
			r.ack(1)
			r.want("catching up", "list 1")
			r.list(0)
			r.want()
			r.list(1)
			r.want("caught up", "live")
		}},
		{name: "a shard of several watches waits for all of them", options: func(o *engine.Options) { o.Parts = 2 }, script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.skip()
			r.ack(0)
			r.want()
			r.e.Acked(r.now, engine.Link{Part: 1}, 1, watchedNode)
			r.collect()
			r.want("catching up", "list 0")
		}},
		{name: "a watch silent for fifteen seconds is lost", script: func(r *rig) {
			r.live(1)
			r.pass(15*time.Second-time.Millisecond, 0)
			r.want()
			r.pass(time.Millisecond, 0)
			r.want("close 0/0 epoch 1", "reconnecting: "+engine.ErrSilent.Error())
			r.pass(time.Second, 0)
			r.want("open 0/0 epoch 2")
		}},
		{name: "heartbeats keep it", script: func(r *rig) {
			r.live(1)
			r.pass(time.Hour)
			r.want()
		}},
		{name: "a lost shard reconnects and is listed again, alone", script: func(r *rig) {
			r.stored[b] = at(0, in("x", 1))
			r.live(2)
			r.lose(0)
			r.want("reconnecting: test")
			r.frameOn(1, wrote(b, 2, 2))
			r.want("read b 1-9")
			r.page(b, run("x", 1, 2)...)
			r.want("b 0.2")
			r.pass(time.Second)
			r.want("open 0/0 epoch 2")
			r.ack(0)
			r.want("catching up", "list 0")
			r.list(0)
			r.want("caught up", "live")
		}},
		{name: "what was written while the watch was lost is found by the list", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			relisting(r)
			r.list(0, listed(a, in("x", 4)))
			r.want("read a 3-11")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4", "caught up", "live")
		}},
		{name: "waits grow with each failure", script: func(r *rig) {
			r.live(1)
			for _, wait := range []time.Duration{1, 2, 4, 8} {
				r.lose(0)
				r.skip()
				r.pass(wait*time.Second-time.Millisecond, 0)
				r.want()
				r.pass(time.Millisecond, 0)
				if len(r.shown) != 1 {
					r.t.Fatalf("no attempt after %v", wait*time.Second)
				}
				r.ack(0) // a success that does not last
				r.frame()
			}
		}},
		{name: "and start anew only after ten seconds of health", script: func(r *rig) {
			r.live(1)
			for range 4 {
				r.lose(0)
				r.pass(10*time.Second, 0)
				r.ack(0)
			}
			r.pass(15 * time.Second)
			r.lose(0)
			r.skip()
			r.pass(time.Second, 0)
			if len(r.shown) != 1 {
				r.t.Fatalf("asked for %q a second after the loss", r.shown)
			}
		}},
		{name: "a watch that was refused is tried again", script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.skip()
			r.lose(0)
			r.want("reconnecting: test")
			r.pass(time.Second, 0)
			r.want("open 0/0 epoch 2")
		}},
		{name: "discovery is tried again", script: func(r *rig) {
			r.e.Start(r.now)
			r.collect()
			r.skip()
			r.e.DiscoverFailed(r.now, engine.Failure{Err: errTest})
			r.collect()
			r.want("connecting: test")
			r.pass(time.Second)
			r.want("discover")
		}},
	})
}

func TestEpochs(t *testing.T) {
	reconnected := func(r *rig) {
		r.stored[a] = at(0, in("x", 3))
		r.live(1)
		r.lose(0)
		r.pass(time.Second)
		r.ack(0)
		r.skip()
	}
	check(t, []rule{
		{name: "frames of an earlier watch are discarded", script: func(r *rig) {
			reconnected(r)
			r.e.Frame(r.now, link(0), 1, []msg.Notification{wrote(a, 4, 4)})
			r.collect()
			r.want()
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
		}},
		{name: "frames before the acknowledgement are discarded", script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.want()
		}},
		{name: "the loss of an earlier watch is not the loss of this one", script: func(r *rig) {
			reconnected(r)
			r.e.Lost(r.now, link(0), 1, engine.Failure{Err: errTest})
			r.collect()
			r.want()
		}},
		{name: "the acknowledgement of an earlier watch is not this one's", script: func(r *rig) {
			r.live(1)
			r.lose(0)
			r.pass(time.Second)
			r.skip()
			r.e.Acked(r.now, link(0), 1, watchedNode)
			r.collect()
			r.want()
		}},
		{name: "list pages of an earlier subscription are discarded", script: func(r *rig) {
			reconnected(r)
			r.e.Listed(r.now, 0, 1, leaderNode, []msg.AggregateItem{listed(a, in("x", 9))}, msg.None[uint64]())
			r.collect()
			r.want()
			r.list(0)
			r.want("caught up", "live")
		}},
		{name: "list failures of an earlier subscription are discarded", script: func(r *rig) {
			reconnected(r)
			r.e.ListFailed(r.now, 0, 1, engine.Failure{Kind: engine.Permanent, Err: errTest})
			r.collect()
			r.want()
		}},
		{name: "look-ups for an earlier subscription's page are discarded", script: func(r *rig) {
			r.byHand = true
			r.subscribe(1)
			r.list(0, listed(a, in("x", 9)))
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.load()
			r.want()
			r.list(0)
			r.want("caught up", "live")
		}},
		{name: "answers nobody waits for are discarded", script: func(r *rig) {
			r.live(1)
			r.e.PageRead(r.now, 99, engine.Page{Batches: run("x", 1, 2)})
			r.e.ReadFailed(r.now, 99, engine.Failure{Kind: engine.Permanent, Err: errTest})
			r.e.Loaded(r.now, 99, nil)
			r.e.LoadFailed(r.now, 99, engine.Failure{Kind: engine.Permanent, Err: errTest})
			r.e.Frame(r.now, link(7), 1, nil)
			r.collect()
			r.want()
		}},
	})
}

//covers:g7
func TestCaughtUp(t *testing.T) {
	check(t, []rule{
		{name: "once for each transition", script: func(r *rig) {
			r.live(1)
			for range 3 {
				r.frame(wrote(a, 1, 1))
				r.want("read a 1-8")
				r.page(a, in("x", 1))
				r.want("a 0.1")
				r.commit()
				r.frame(deleted(a))
				r.fail(a, engine.NotFound)
				r.want("read a 1-9", "a deleted")
				r.commit()
				delete(r.stored, a)
			}
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0)
			r.want("caught up", "live")
		}},
		{name: "after everything listed is delivered", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("x", 10)), listed(b, in("x", 1)))
			r.want("read a 1-8", "read b 1-8")
			r.page(b, in("x", 1))
			r.want("b 0.1")
			r.pageNext(a, 3, run("x", 1, 2)...)
			r.page(a, in("x", 1))
			r.page(a, run("x", 2, 9)...)
			r.page(a, in("x", 1))
			r.skip()
			r.page(a, run("x", 9, 10)...)
			r.want("a 0.10", "caught up", "live")
		}},
		{name: "after everything heard of before is delivered", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 1, 1))
			r.list(0)
			r.want("read a 1-8")
			r.page(a, in("x", 1))
			r.want("a 0.1", "caught up", "live")
		}},
		{name: "not before a later one of two lists has ended", script: func(r *rig) {
			r.subscribe(2)
			r.skip()
			r.list(1)
			r.listMore(0, 7)
			r.want("list 0 from 7")
			r.list(0)
			r.want("caught up", "live")
		}},
		{name: "an aggregate that goes on being written does not put it off", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("x", 8)))
			r.want("read a 1-8")
			r.frame(wrote(a, 9, 30))
			r.page(a, run("x", 1, 8)...)
			r.want("a 0.1, a 0.2, a 0.3, a 0.4, a 0.5, a 0.6, a 0.7, a 0.8", "read a 8-16", "caught up", "live")
		}},
		{name: "the version of an earlier life does not stand for the listed one", options: continueOnly, script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 5)))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 2)))
			r.want("read a 5-13 at the leader")
			r.page(a)
			r.want("read a 1-8 at the leader")
			r.page(a, run("y", 1, 2)...)
			r.want("a 1.1, a 1.2", "caught up", "live")
		}},
		{name: "nor does what was read before the watch was lost", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("y", 1)))
			r.want()
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4", "read a 4-12")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 1.1")
			r.pass(time.Second) // the version heard of is looked for, to no end
			r.page(a, in("y", 1))
			r.pass(time.Second)
			r.page(a, in("y", 1))
			r.want("read a 1-9", "read a 1-9", "caught up", "live")
		}},
		{name: "nor does it for what was listed since", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.list(0, listed(a, in("x", 4)))
			r.skip()
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4", "read a 4-12")
		}},
		{name: "nor do versions that are not all that was heard of", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.frame(msg.Notification{Key: a, Operation: msg.OpWrite}, wrote(a, 4, 4))
			r.list(0)
			r.skip()
			r.pageNext(a, 5, run("x", 3, 4)...)
			r.want("a 0.4", "read a 4-12")
		}},
		{name: "a failed read does not end the wait for an aggregate", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 5))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 2)))
			r.want("read a 5-13")
			r.fail(a, engine.Unavailable)
			r.want()
			r.pass(time.Second)
			r.want("read a 5-13")
		}},
		{name: "a parked aggregate does not put it off, even if more is heard of it", script: func(r *rig) {
			parkSilent(r)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.frame(wrote(a, 5, 5))
			r.want()
			r.list(0)
			r.want("caught up", "live")
		}},
	})
}

func TestEnd(t *testing.T) {
	permanent := engine.Failure{Kind: engine.Permanent, Err: errTest}
	for _, end := range []struct {
		name string
		do   func(r *rig)
	}{
		{"read", func(r *rig) { r.failWith(a, permanent) }},
		{"list", func(r *rig) { r.e.ListFailed(r.now, 0, r.lists[0], permanent) }},
		{"look-up", func(r *rig) { r.e.LoadFailed(r.now, r.loads[0].ID, permanent) }},
		{"watch", func(r *rig) { r.e.Lost(r.now, link(1), r.links[link(1)], permanent) }},
	} {
		t.Run("a permanent failure of a "+end.name+" ends the subscription once", func(t *testing.T) {
			r := newRig(t)
			r.subscribe(2)
			r.frame(wrote(a, 1, 1))
			r.byHand = true
			r.frame(wrote(b, 1, 1))
			r.skip()
			end.do(r)
			r.collect()
			r.want("stop: test")
			r.lose(0)
			r.ack(1)
			r.pass(time.Hour, 0)
			r.want()
		})
	}
	t.Run("a permanent failure of the discovery ends the subscription once", func(t *testing.T) {
		r := newRig(t)
		r.e.Start(r.now)
		r.collect()
		r.skip()
		r.e.DiscoverFailed(r.now, permanent)
		r.collect()
		r.want("stop: test")
		r.pass(time.Hour)
		r.want()
	})
}
