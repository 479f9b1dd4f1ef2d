package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// deposed is the state that follows when a node that was deposed is left.
var deposed = "reconnecting: " + engine.ErrDeposed.Error()

//covers:g10 demotion
func TestDeposed(t *testing.T) {
	rules := []rule{
		{name: "the node watched is asked in each interval", script: func(r *rig) {
			r.live(1)
			r.pass(2*time.Second - time.Millisecond)
			r.want()
			r.pass(time.Millisecond)
			r.want("does watched lead")
			r.pass(4 * time.Second)
			r.want("does watched lead", "does watched lead")
		}},
		{name: "once, however many watches it has", script: func(r *rig) {
			r.subscribe(2)
			r.skip()
			r.pass(2 * time.Second)
			r.want("does watched lead")
		}},
		{name: "and each node that is watched", script: func(r *rig) {
			r.subscribe(2)
			r.lose(1)
			r.pass(time.Second)
			r.ackAt(1, otherNode)
			r.skip()
			r.pass(time.Second)
			r.want("does other lead at this moment", "does watched lead at this moment")
			r.says(otherNode, true)
			r.skip()
			r.pass(time.Second)
			r.want("does other lead", "does watched lead at this moment")
		}},
		{name: "one that is not watched yet is not asked", script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.skip()
			r.pass(2 * time.Second)
			r.want()
		}},
		{name: "one that leads is kept, and so is one that has no answer", script: func(r *rig) {
			r.live(1)
			r.says(watchedNode, true)
			r.want()
			r.pass(time.Minute)
			if n := r.e.Stats(r.now).Reconnects; n > 0 {
				r.t.Errorf("%d reconnects", n)
			}
		}},
		{name: "one that does not lead is left at once and another one opened soon", script: func(r *rig) {
			r.live(1)
			r.says(watchedNode, false)
			r.want("close 0/0 epoch 1", deposed)
			r.pass(time.Second - time.Millisecond)
			r.want()
			r.pass(time.Millisecond)
			r.want("open 0/0 epoch 2")
		}},
		{name: "waits grow while the client is led to nodes that do not lead", script: func(r *rig) {
			r.live(1)
			for i, wait := range []time.Duration{1, 2, 4} {
				r.says(watchedNode, false)
				r.pass(wait*time.Second - time.Millisecond)
				r.want("close 0/0 epoch "+string(rune('1'+i)), deposed)
				r.pass(time.Millisecond)
				r.want("open 0/0 epoch " + string(rune('2'+i)))
				r.ack(0) // it is acknowledged, which proves nothing
				r.frame()
				r.skip()
			}
		}},
		{name: "what it did not show is found by the list", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.says(watchedNode, false)
			r.pass(time.Second)
			r.skip()
			r.ackAt(0, otherNode)
			r.want("catching up", "list 0")
			r.list(0, listed(a, in("x", 4)))
			r.want("read a 3-11 at other")
			r.elsewhere(a, run("x", 3, 4)...)
			r.want("a 0.4", "caught up", "live")
		}},
		{name: "shards watched elsewhere are kept", script: func(r *rig) {
			r.live(2)
			r.lose(1)
			r.pass(time.Second)
			r.ackAt(1, otherNode)
			r.list(1)
			r.skip()
			r.says(otherNode, false)
			r.want("close 1/0 epoch 2", deposed)
			r.pass(900 * time.Millisecond)
			r.want("does watched lead at this moment") // a wait of two seconds, the second one
		}},
		{name: "each watch of a shard is dropped by itself", options: parts(2), script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.ack(0)
			r.e.Acked(r.now, engine.Link{Part: 1}, 1, otherNode)
			r.collect()
			r.skip()
			r.says(otherNode, false)
			r.want("close 0/1 epoch 1", deposed)
		}},
		{name: "a word on a node that was left means nothing", script: func(r *rig) {
			r.live(1)
			r.says(watchedNode, false)
			r.skip()
			r.says(watchedNode, false)
			r.want()
			r.pass(time.Second)
			r.skip()
			r.says(watchedNode, false) // the new watch is not acknowledged
			r.want()
			r.ackAt(0, otherNode)
			r.skip()
			r.says(watchedNode, false)
			r.want()
		}},
		{name: "nothing is compared with the leader", script: func(r *rig) {
			r.live(1)
			r.pass(2 * time.Second)
			r.says(watchedNode, true)
			r.pass(2 * time.Second)
			r.want("does watched lead", "does watched lead")
		}},
	}
	for i := range rules {
		more := rules[i].options
		rules[i].options = func(o *engine.Options) {
			probing(o)
			if more != nil {
				more(o)
			}
		}
	}
	check(t, append(rules, rule{name: "without an interval nobody is asked", script: func(r *rig) {
		r.live(1)
		r.pass(time.Hour)
		r.want()
	}}))
}

func parts(n int) func(*engine.Options) { return func(o *engine.Options) { o.Parts = n } }

// TestWhoseWord holds what only the leader can say.
//
//covers:g8
func TestWhoseWord(t *testing.T) {
	standing := func(r *rig) {
		r.stored[a], r.stored[b] = at(0, in("x", 3)), at(0, in("x", 3))
		r.live(1)
		r.frame(wrote(a, 4, 4))
		r.want("read a 3-11")
	}
	check(t, []rule{
		{name: "reads are at the node that is watched", options: following, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.lose(0)
			r.pass(time.Second)
			r.ackAt(0, otherNode)
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11 at other")
		}},
		{name: "where two nodes are watched, or none, they are at no certain one", options: parts(2), script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.ack(0)
			r.frame(wrote(a, 4, 4))
			if at := r.nodes[a]; at != "" {
				r.t.Errorf("read at %q with one of two watches acknowledged", at)
			}
			r.page(a, run("x", 3, 4)...)
			r.e.Acked(r.now, engine.Link{Part: 1}, 1, otherNode)
			r.collect()
			r.frame(wrote(a, 5, 5))
			if at := r.nodes[a]; at != "" {
				r.t.Errorf("read at %q with two nodes watched", at)
			}
		}},
		{name: "a leader that cannot be asked holds up who needs it alone", script: func(r *rig) {
			standing(r)
			r.absent(a)
			r.want("read a 3-11 at the leader")
			r.fail(a, engine.Unavailable)
			r.want()
			r.frame(wrote(b, 4, 4))
			r.want("read b 3-11")
			r.pass(time.Second)
			r.want("read a 3-11 at the leader")
		}},
		{name: "a node that cannot be asked holds up all", script: func(r *rig) {
			standing(r)
			r.fail(a, engine.Unavailable)
			r.frame(wrote(b, 4, 4))
			r.want()
			r.pass(time.Second)
			r.want("read a 3-11", "read b 3-11")
		}},
		{name: "who has been deposed by the time it answers has not the leader's word", script: func(r *rig) {
			standing(r)
			r.absent(a)
			r.skip()
			r.failWith(a, engine.Failure{Kind: engine.Deposed, Err: errTest})
			r.want()
			r.frame(wrote(b, 4, 4))
			r.want("read b 3-11")
			r.pass(time.Second)
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
		}},
		{name: "a refusal of which nobody knows whose word it is is asked for again", script: func(r *rig) {
			standing(r)
			r.absent(a)
			r.skip()
			r.absent(a)
			r.want()
			r.pass(time.Second)
			r.want("read a 3-11 at the leader")
			r.fail(a, engine.NotFound)
			r.doubted(func() { r.fail(a, engine.NotFound) })
			r.want("a deleted")
		}},
		{name: "the leader's word is wanted once", script: func(r *rig) {
			standing(r)
			r.absent(a)
			r.page(a, run("x", 3, 4)...)
			r.skip()
			r.frame(wrote(a, 5, 5))
			r.want("read a 4-12")
		}},
		{name: "a floor the leader names is no proof for what was watched", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 9), trimmed(a, 6))
			r.want("read a 3-11")
			r.failWith(a, engine.Failure{Kind: engine.BelowFloor, Minimum: 6, Err: errTest})
			r.want("read a 3-11 at the leader")
			r.below(a, 6)
			r.want("a reset", "read a 6-13 at the leader")
		}},
		{name: "nor is one named after the watch was lost and opened again", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.page(a, run("x", 3, 4)...)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.list(0)
			r.skip()
			r.frame(wrote(a, 5, 9), trimmed(a, 8))
			r.want("read a 4-12")
			r.below(a, 8)
			r.want("a reset", "read a 8-15")
		}},
		{name: "an entry without a version is not any node's to tell", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, msg.AggregateItem{Key: a, MinVersion: 2}) // of a segment that holds a trim
			r.want("read a 3-11")
			r.elsewhere(a, in("x", 3))
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4", "caught up", "live")
		}},
		{name: "a listed batch is found by its time, for the version may be an earlier life's", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 5)))
			r.want("read a 3-11")
			r.elsewhere(a, run("x", 3, 6)...)
			r.want("a 0.4, a 0.5, a 0.6", "read a 6-14 at the leader")
		}},
		{name: "once it is seen, later ones are as good", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("x", 5)))
			r.elsewhere(a, run("x", 3, 6)...)
			r.want("read a 3-11", "a 0.4, a 0.5, a 0.6", "caught up", "live")
		}},
		{name: "a node that shows another batch than was listed may not park", options: following, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 1)))
			large := engine.Failure{Kind: engine.TooLarge, Err: errTest}
			for range 4 { // down to version 4 alone
				r.failWith(a, large)
			}
			r.elsewhere(a, in("x", 3)) // the node answers for the aggregate
			if !r.leader[a] {
				r.t.Errorf("asked for %q", r.shown)
			}
		}},
		{name: "unless the leader is watched", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.lose(0)
			r.pass(time.Second)
			r.ackAt(0, leaderNode)
			r.list(0)
			r.skip()
			r.frame(wrote(a, 4, 9), trimmed(a, 6))
			r.failWith(a, engine.Failure{Kind: engine.BelowFloor, Minimum: 6, Err: errTest})
			r.skip()
			r.below(a, 6)
			r.want("read a 6-13 at the leader")
		}},
	})
}

//covers:demotion
func TestListNodes(t *testing.T) {
	second := func(r *rig) {
		r.subscribe(1)
		r.skip()
		r.listAt(otherNode, msg.Some[uint64](7), listed(a, in("x", 1)))
		r.want("read a 1-8", "list 0 from 7 at other")
	}
	check(t, []rule{
		{name: "a page is asked of the node that gave the cursor", script: func(r *rig) {
			second(r)
			r.listAt(otherNode, msg.Some[uint64](9))
			r.want("list 0 from 9 at other")
		}},
		{name: "the first page again of whoever leads by then", script: func(r *rig) {
			r.byHand = true
			r.subscribe(1)
			r.skip()
			r.listAt(otherNode, msg.Some[uint64](7), listed(a, in("x", 1)))
			r.want("load a")
			r.e.LoadFailed(r.now, r.loads[0].ID, engine.Failure{Err: errTest})
			r.pass(time.Second)
			r.want("list 0")
		}},
		{name: "one deposed meanwhile ends the list, which begins again elsewhere", script: func(r *rig) {
			second(r)
			r.listFails(engine.Deposed)
			r.want()
			r.pass(time.Second)
			r.want("list 0")
			// Entries of the first list do not count any more.
			r.list(0, listed(b, in("x", 1)), listed(a, in("x", 1)))
			r.want("read b 1-8")
		}},
		{name: "one that cannot be asked is asked three times", script: func(r *rig) {
			second(r)
			r.page(a, in("x", 1))
			r.skip()
			for range 2 {
				r.listFails(engine.Unavailable)
				r.pass(8 * time.Second)
				r.want("list 0 from 7 at other")
			}
			r.listFails(engine.Unavailable)
			r.pass(8 * time.Second)
			r.want("list 0")
		}},
		{name: "in a row", script: func(r *rig) {
			second(r)
			r.page(a, in("x", 1))
			r.skip()
			for range 2 {
				r.listFails(engine.Unavailable)
				r.pass(8 * time.Second)
			}
			r.listAt(otherNode, msg.Some[uint64](8))
			r.skip()
			r.listFails(engine.Unavailable)
			r.pass(16 * time.Second)
			r.want("list 0 from 8 at other")
		}},
		{name: "a first page that fails is asked for again, however often", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			for range 4 {
				r.listFails(engine.Deposed)
				r.pass(20 * time.Second)
				r.want("list 0")
			}
		}},
		{name: "members the first list named are looked for again", options: func(o *engine.Options) { o.Explicit = []msg.Key{a} }, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 1))
			r.subscribe(1)
			r.listAt(otherNode, msg.Some[uint64](7), listed(a, in("x", 1)))
			r.listFails(engine.Deposed)
			r.pass(time.Second)
			r.skip()
			r.list(0)
			r.want("read a 1-9")
		}},
	})
}

// Shards that are watched at two nodes: one of them was deposed, and notifies of
// nothing any more.
//
//covers:g7 demotion
func TestDisputed(t *testing.T) {
	// apart watches shard 0 at the node that was left for shard 1.
	apart := func(r *rig) {
		r.live(2)
		r.lose(1)
		r.pass(time.Second)
		r.skip()
		r.ackAt(1, otherNode)
		r.want("catching up", "list 1")
	}
	check(t, []rule{
		{name: "CaughtUp waits for what is found when the deposed one is left", options: probing, script: func(r *rig) {
			apart(r)
			r.list(1)
			r.want()
			r.pass(time.Millisecond)
			r.want("does other lead at this moment", "does watched lead at this moment")
			r.says(otherNode, true)
			r.want()
			r.says(watchedNode, false)
			r.want("close 0/0 epoch 1", deposed)
			r.pass(time.Second)
			r.skip()
			r.ackAt(0, otherNode)
			r.want("catching up", "list 0")
			r.list(0, listed(a, in("x", 1)))
			r.page(a, in("x", 1))
			r.want("read a 1-8 at other", "a 0.1", "caught up", "live")
		}},
		{name: "if both say that they lead, they are one", options: probing, script: func(r *rig) {
			apart(r)
			r.list(1)
			r.says(otherNode, true)
			r.want()
			r.says(watchedNode, true)
			r.want("caught up", "live")
		}},
		{name: "also one that led all along", options: probing, script: func(r *rig) {
			r.live(2)
			if r.says(watchedNode, true); !r.e.Watches()[0].Leads {
				r.t.Fatal("the first word of a node that leads is not noted")
			}
			r.lose(1)
			r.pass(time.Second)
			r.skip()
			r.ackAt(1, otherNode)
			r.want("catching up", "list 1")
			r.list(1)
			r.says(otherNode, true)
			r.want()
			r.says(watchedNode, true)
			r.want("caught up", "live")
		}},
		{name: "what one said before counts for nothing", options: probing, script: func(r *rig) {
			apart(r)
			r.list(1)
			r.said(otherNode, true)
			r.said(watchedNode, true)
			r.want()
		}},
		{name: "a node that does not tell neither ends a dispute nor is left", options: probing, script: func(r *rig) {
			apart(r)
			r.list(1)
			r.pass(time.Millisecond)
			r.skip()
			r.hides(otherNode)
			r.hides(watchedNode)
			r.want()
			r.says(otherNode, true)
			r.says(watchedNode, true)
			r.want("caught up", "live")
		}},
		{name: "one that does not answer is asked again", options: probing, script: func(r *rig) {
			apart(r)
			r.list(1)
			r.pass(time.Millisecond)
			r.says(otherNode, true)
			r.skip()
			r.pass(2 * time.Second)
			r.want("does other lead", "does watched lead at this moment")
		}},
		{name: "whoever is acknowledged last may be the deposed one", options: probing, script: func(r *rig) {
			r.live(2)
			r.lose(0)
			r.lose(1)
			r.pass(2 * time.Second)
			r.ackAt(0, otherNode)
			r.ackAt(1, watchedNode)
			r.list(0)
			r.list(1)
			r.skip()
			r.says(otherNode, true)
			r.want()
			r.says(watchedNode, false)
			r.want("close 1/0 epoch 2", deposed)
		}},
		{name: "so may one that has a new filter", options: probing, script: func(r *rig) {
			r.live(2)
			r.follow(1, a, b)
			r.ackAt(0, watchedNode)
			r.ackAt(1, otherNode)
			r.list(0)
			r.skip()
			r.list(1)
			r.want()
			r.says(otherNode, true)
			r.want()
		}},
		{name: "followers are watched beside the leader", options: following, script: func(r *rig) {
			apart(r)
			r.list(1)
			r.want("caught up", "live")
		}},
	})
}
