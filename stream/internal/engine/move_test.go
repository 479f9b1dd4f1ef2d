package engine_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// led makes rules about following of rules.
func led(t *testing.T, rules []rule) {
	t.Helper()
	for i := range rules {
		more := rules[i].options
		rules[i].options = func(o *engine.Options) {
			following(o)
			if more != nil {
				more(o)
			}
		}
	}
	check(t, rules)
}

//covers:followers
func TestMoves(t *testing.T) {
	led(t, []rule{
		{name: "watches are opened at followers", script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.want("connecting", "discover", "open 0/0 epoch 1 at a follower")
		}},
		{name: "one that leads by now is left for a follower, once that is acknowledged", script: func(r *rig) {
			moves(r)
			r.says(watchedNode, true)
			r.want() // one move at a time
			r.pass(time.Second)
			r.ackAt(0, otherNode)
			r.want("close 0/0 epoch 1", "list 0")
			if s := r.e.Stats(r.now); s.Moves != 1 || s.Reconnects != 0 {
				r.t.Errorf("%d moves, %d reconnects", s.Moves, s.Reconnects)
			}
		}},
		{name: "one that follows is kept", script: func(r *rig) {
			r.live(1)
			r.says(watchedNode, false)
			r.want()
		}},
		{name: "what the nodes told around the move is found by the list, and no state is left", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			moves(r)
			r.ackAt(0, otherNode)
			r.skip()
			r.list(0, listed(a, in("x", 4)))
			r.want("read a 3-11 at other")
			r.elsewhere(a, run("x", 3, 4)...)
			r.want("a 0.4")
		}},
		{name: "another shard's return is not caught up before that list", script: func(r *rig) {
			r.live(2)
			r.says(watchedNode, true)
			r.skip()
			r.ackAt(0, otherNode)
			r.e.Lost(r.now, link(1), 1, engine.Failure{Err: errTest})
			r.pass(time.Second)
			r.skip()
			r.ack(1)
			r.skip()
			r.list(1)
			r.want()
			r.list(0)
			r.want("caught up", "live")
		}},
		{name: "a peek does not keep it from being caught up", script: func(r *rig) {
			r.live(2)
			r.lose(1)
			r.pass(time.Second)
			r.ack(1)
			r.skip()
			r.probes()
			r.want("list 0")
			r.list(1)
			r.want("caught up", "live")
		}},
		{name: "hints of the old watch count until then, and none of the new one", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			moves(r)
			r.frame(wrote(a, 4, 4))
			r.want()
			r.old(wrote(a, 4, 4))
			r.want("read a 3-11")
			r.ackAt(0, otherNode)
			r.page(a, run("x", 3, 4)...)
			r.want("close 0/0 epoch 1", "list 0", "a 0.4")
			r.old(wrote(a, 5, 5))
			r.want()
			r.frame(wrote(a, 5, 5))
			r.want("read a 4-12 at other")
		}},
		{name: "the old watch is found silent while the new one opens", script: func(r *rig) {
			moves(r)
			r.now = r.now.Add(15 * time.Second)
			r.e.Tick(r.now)
			r.collect()
			silent := "reconnecting: " + engine.ErrSilent.Error()
			r.want("close 0/0 epoch 1", "close 0/0 epoch 2", silent)
		}},
		{name: "frames of the new watch are signs of life from its acknowledgement on", script: func(r *rig) {
			moves(r)
			r.now = r.now.Add(14 * time.Second)
			r.ackAt(0, otherNode)
			r.skip()
			r.now = r.now.Add(14 * time.Second)
			r.e.Tick(r.now)
			r.collect()
			if slices.Contains(r.shown, "close 0/0 epoch 2") {
				r.t.Errorf("asked for %q", r.shown)
			}
		}},
		{name: "one lost before it was acknowledged is not missed, and no follower asked for half a minute", script: func(r *rig) {
			moves(r)
			r.lose(0)
			r.want()
			for range 14 {
				r.probes()
				r.says(watchedNode, true)
				r.want()
			}
			r.probes()
			r.says(watchedNode, true)
			r.want("open 0/0 epoch 3 at a follower")
		}},
		{name: "one that lands on the node that is watched is closed again, and no follower asked for half a minute", script: func(r *rig) {
			moves(r)
			r.ackAt(0, watchedNode)
			r.want("close 0/0 epoch 2")
			r.frame(wrote(a, 1, 1))
			r.want()
			r.old(wrote(a, 1, 1))
			r.want("read a 1-8")
			r.says(watchedNode, true)
			r.want()
		}},
		{name: "the old one's loss ends both", script: func(r *rig) {
			moves(r)
			r.e.Lost(r.now, link(0), 1, engine.Failure{Err: errTest})
			r.collect()
			r.want("close 0/0 epoch 2", "reconnecting: test")
			r.ackAt(0, otherNode) // too late
			r.want()
			r.pass(time.Second)
			r.want("open 0/0 epoch 3 at a follower")
		}},
		{name: "the loss of the old one is no news once the new one is there", script: func(r *rig) {
			moves(r)
			r.ackAt(0, otherNode)
			r.skip()
			r.e.Lost(r.now, link(0), 1, engine.Failure{Err: errTest})
			r.collect()
			r.want()
		}},
		{name: "a new watch that is refused for good ends the subscription", script: func(r *rig) {
			moves(r)
			r.e.Lost(r.now, link(0), 2, engine.Failure{Kind: engine.Permanent, Err: errTest})
			r.collect()
			r.want("stop: test")
		}},
		{name: "list pages of before the move are discarded", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.probes()
			r.want("list 0")
			epoch := r.lists[0]
			r.says(watchedNode, true)
			r.ackAt(0, otherNode)
			r.skip()
			r.e.Listed(r.now, 0, epoch, leaderNode, []msg.AggregateItem{listed(a, in("x", 4))}, msg.None[uint64]())
			r.collect()
			r.want()
		}},
		{name: "what was heard before the move proves nothing after it", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			moves(r)
			r.ackAt(0, leaderNode)
			r.skip()
			r.frame(wrote(a, 4, 9), trimmed(a, 6))
			r.want("read a 3-11 at leader")
			r.failWith(a, engine.Failure{Kind: engine.BelowFloor, Minimum: 6, Err: errTest})
			r.skip()
			r.below(a, 6)
			r.want("a reset", "read a 6-13 at the leader")
		}},
		{name: "an answer of the node left is none of the node watched", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.says(watchedNode, true)
			r.ackAt(0, otherNode)
			r.skip()
			r.elsewhere(a, in("x", 3))
			r.want("read a 3-11 at the leader")
			if lag := r.e.Stats(r.now.Add(time.Second)).Lag; lag > 0 {
				r.t.Errorf("a lag of %v was noted", lag)
			}
		}},
		{name: "without followers nothing is moved", options: func(o *engine.Options) { o.Followers = false }, script: func(r *rig) {
			r.live(1)
			r.says(watchedNode, true)
			r.want()
		}},
	})
}

func TestPeeks(t *testing.T) {
	peeking := func(r *rig, items ...msg.AggregateItem) {
		r.stored[a], r.stored[b], r.stored[c] = at(0, in("x", 3)), at(0, in("x", 3)), at(0, in("x", 3))
		r.subscribe(1)
		r.list(0, items...)
		r.skip()
		r.probes()
		r.want("list 0")
	}
	led(t, []rule{
		{name: "what is new on the leader's first page is read at the follower, then at the leader", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)), listed(b, in("x", 3)))
			r.list(0, listed(a, in("x", 4)), listed(b, in("x", 3)))
			r.want("read a 3-11")
			r.elsewhere(a, in("x", 3))
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
		}},
		{name: "in each interval", script: func(r *rig) {
			peeking(r)
			r.list(0)
			r.probes()
			r.want("list 0")
		}},
		{name: "at the present leader", script: func(r *rig) {
			peeking(r)
			r.listAt(otherNode, msg.None[uint64]())
			r.probes()
			r.want("list 0")
		}},
		{name: "one at a time", script: func(r *rig) {
			peeking(r)
			r.pass(time.Minute)
			if slices.Contains(r.shown, "list 0") {
				r.t.Error("asked for another page")
			}
		}},
		{name: "on further pages while they show nothing that is older", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)), listed(b, in("x", 3)))
			r.listMore(0, 7, listed(d, in("x", 5)))
			r.want("read d 1-8", "list 0 from 7")
			r.listMore(0, 6, listed(a, in("x", 4)), listed(b, in("x", 3)))
			r.want("read a 3-11")
			r.probes()
			r.want("list 0")
		}},
		{name: "on so many pages at most", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)))
			pages := 0
			for len(r.shown) > 0 || pages == 0 {
				r.skip()
				pages++
				r.listMore(0, uint64(1000-pages), listed(a, in("x", uint64(10+pages))))
				r.shown = slices.DeleteFunc(r.shown, func(s string) bool { return !strings.HasPrefix(s, "list") })
				if pages > 100 {
					break
				}
			}
			if pages != 16 {
				r.t.Errorf("looked at %d pages", pages)
			}
		}},
		{name: "as far once more if one of them failed", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)), listed(b, in("x", 3)))
			r.listMore(0, 7, listed(d, in("x", 5)))
			r.listFails(engine.Unavailable)
			r.skip()
			r.page(d, run("x", 1, 5)...)
			r.probes()
			r.skip()
			r.listMore(0, 7, listed(d, in("x", 5)))
			r.want("list 0 from 7")
		}},
		{name: "the first page only", script: func(r *rig) {
			peeking(r)
			r.listMore(0, 7)
			r.want()
			r.probes()
			r.want("list 0")
		}},
		{name: "one that fails is dropped until the next interval", script: func(r *rig) {
			peeking(r)
			for range 5 {
				r.listFails(engine.Unavailable)
				r.want()
				r.probes()
				r.want("list 0")
			}
		}},
		{name: "only what may be as new as what was seen is looked up", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)), timed(listed(b, in("x", 3)), 209_000))
			r.byHand = true
			// The clocks of two leaders may be five seconds apart.
			r.list(0, timed(listed(a, in("x", 4)), 203_999), timed(listed(b, in("x", 4)), 204_000), timed(listed(c, in("x", 4)), 210_000))
			r.want("load b c")
		}},
		{name: "a page like the one before is not looked at, in whatever order", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)), listed(b, in("x", 3)))
			r.byHand = true
			r.list(0, listed(a, in("x", 3)), listed(b, in("x", 3)))
			r.want()
			r.probes()
			r.list(0, listed(b, in("x", 3)), listed(a, in("x", 3)))
			r.want("list 0")
		}},
		{name: "deleted aggregates are looked up when others are deleted", script: func(r *rig) {
			peeking(r)
			r.list(0, listedDeleted(a))
			r.want("a deleted")
			r.commit()
			r.probes()
			r.skip()
			r.byHand = true
			r.list(0, listedDeleted(a))
			r.want()
			r.probes()
			r.list(0, listedDeleted(a), listedDeleted(b))
			r.want("list 0", "load a b")
		}},
		{name: "also when they are as many", script: func(r *rig) {
			peeking(r, listedDeleted(d))
			r.list(0, listedDeleted(a))
			r.want("a deleted")
		}},
		{name: "a page whose look-up failed is asked for again and is news again", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)))
			r.byHand = true
			r.list(0, listed(a, in("x", 4)), listed(b, in("x", 5)), listedDeleted(c))
			r.want("load a b c")
			r.e.LoadFailed(r.now, r.loads[0].ID, engine.Failure{Err: errTest})
			r.loads = nil
			r.probes()
			r.want("list 0")
			r.list(0, listed(a, in("x", 4)), listed(b, in("x", 5)), listedDeleted(c))
			r.want("load a b c")
		}},
		{name: "none before the shard is reconciled", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.probes()
			r.want()
		}},
		{name: "none at the leader", script: func(r *rig) {
			r.live(1)
			r.says(watchedNode, true)
			r.lose(0)
			r.skip()
			r.probes()
			r.want()
		}},
		{name: "none while there is enough to do", script: func(r *rig) {
			r.live(1)
			r.byHand = true
			many := make([]msg.Notification, 4100)
			for i := range many {
				many[i] = wrote(keyNumber(i), 1, 1)
			}
			r.frame(many...)
			r.skip()
			r.probes()
			r.want()
		}, options: func(o *engine.Options) { o.MaxLanes = 10_000 }},
		{name: "a write heard of while the page was made beats its word that the aggregate is deleted", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.probes()
			r.frame(wrote(a, 4, 4))
			r.page(a, run("x", 3, 4)...)
			r.page(a, run("x", 1, 4)...)
			r.commit()
			r.skip()
			r.list(0, listedDeleted(a))
			r.want("read a 4-12")
		}},
		{name: "but not the leader's word, for a follower may have told of it late", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.probes()
			r.frame(wrote(a, 4, 4))
			r.elsewhere(a, run("x", 3, 4)...)
			r.commit()
			r.skip()
			r.list(0, listedDeleted(a))
			r.want("read a 4-12")
			r.elsewhere(a, in("x", 4))
			r.want("read a 4-12 at the leader")
			r.fail(a, engine.NotFound)
			r.want("a deleted")
		}},
		{name: "what a follower tells of late is looked up again", script: func(r *rig) {
			peeking(r, listedDeleted(d))
			r.list(0, listedDeleted(d))
			r.frame(wrote(d, 1, 1))
			r.want("read d 1-8")
			r.elsewhere(d, in("x", 1))
			r.commit()
			r.want("d 0.1")
			r.probes()
			r.want("list 0")
			r.list(0, listedDeleted(d))
			r.want("d deleted")
		}},
		{name: "an aggregate's older entry is passed over, also if the newest is no news", script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)))
			r.frame(wrote(a, 4, 4))
			r.elsewhere(a, run("x", 3, 4)...)
			r.commit()
			r.skip()
			r.list(0, timed(listed(a, in("x", 3)), 1), listedDeleted(a))
			r.want()
		}},
		{name: "a peek says nothing of members it does not name", options: func(o *engine.Options) { o.Explicit = []msg.Key{a} }, script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)))
			r.list(0)
			r.want()
		}},
		{name: "a list that is due follows the peek", options: func(o *engine.Options) { o.Reconcile = 3 * time.Second }, script: func(r *rig) {
			peeking(r, listed(a, in("x", 3)))
			r.pass(2 * time.Second)
			r.skip()
			r.list(0)
			r.want("list 0")
		}},
		{name: "and so does one that dropped hints ask for", options: func(o *engine.Options) { o.MaxLanes = 2 }, script: func(r *rig) {
			peeking(r)
			r.frame(wrote(a, 4, 4), wrote(b, 4, 4), wrote(c, 4, 4))
			r.page(a, run("x", 3, 4)...)
			r.page(b, run("x", 3, 4)...)
			r.skip()
			r.list(0)
			r.want("list 0")
			r.list(0, listed(c, in("x", 4)))
			r.want("read c 3-11")
		}},
		{name: "a peek does not put the periodic list off", options: func(o *engine.Options) { o.Reconcile = 5 * time.Second }, script: func(r *rig) {
			peeking(r)
			r.list(0)
			r.probes()
			r.list(0)
			r.skip()
			r.pass(time.Second)
			r.want("list 0")
		}},
	})
}
