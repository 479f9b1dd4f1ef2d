package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

//covers:g9 lists
func TestReconcile(t *testing.T) {
	failed := engine.Failure{Err: errTest}
	check(t, []rule{
		{name: "what equals the stored cursor is not read", script: func(r *rig) {
			r.stored[a], r.stored[b] = at(0, in("x", 3)), gone(at(0, in("x", 3)))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("x", 3)), listedDeleted(b), listedDeleted(c))
			r.want("caught up", "live")
		}},
		{name: "whatever differs is read", script: func(r *rig) {
			r.stored[a], r.stored[b], r.stored[c] = at(0, in("x", 3)), gone(at(0, in("x", 3))), at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 3)), listed(b, in("x", 3)), listed(c, in("x", 2)), listed(d, in("x", 1)))
			r.want("read a 3-11", "read b 3-11 at the leader")
			r.page(a, in("x", 3))
			r.want("read c 3-11")
			r.page(c, in("x", 3))
			r.want("read d 1-8")
		}},
		{name: "the first entry of an aggregate is the newest", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.listMore(0, 7, listed(a, in("x", 3)), listedDeleted(b))
			r.want("list 0 from 7")
			r.list(0, listed(a, in("x", 2)), listed(b, in("x", 9)), listedDeleted(a))
			r.want("caught up", "live")
		}},
		{name: "also on one page", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("x", 3)), listedDeleted(a))
			r.want("caught up", "live")
		}},
		{name: "aggregates outside of the scope are passed over", options: func(o *engine.Options) {
			o.Contains = func(key msg.Key) bool { return key == a }
		}, script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(wrote(b, 1, 1))
			r.list(0, listed(b, in("x", 1)))
			r.want("caught up", "live")
		}},
		{name: "an entry without a version is read to its end, whatever else was heard", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.frame(trimmed(a, 11))
			r.want("read a 3-11")
			r.list(0, msg.AggregateItem{Key: a, MinVersion: 2})
			r.page(a, run("x", 3, 11)...)
			r.want("a 0.4, a 0.5, a 0.6, a 0.7, a 0.8, a 0.9, a 0.10, a 0.11", "read a 11-19")
			r.page(a, run("x", 11, 12)...)
			r.want("a 0.12", "caught up", "live")
		}},
		{name: "a list that fails is asked for again", script: func(r *rig) {
			r.subscribe(1)
			r.listMore(0, 7)
			r.skip()
			r.e.ListFailed(r.now, 0, r.lists[0], failed)
			r.collect()
			r.want()
			r.pass(time.Second)
			r.want("list 0 from 7")
		}},
		{name: "a page whose cursors could not be looked up is asked for again", script: func(r *rig) {
			r.byHand = true
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.list(0, listed(a, in("x", 4)))
			r.skip()
			r.e.LoadFailed(r.now, r.loads[0].ID, failed)
			r.loads = nil
			r.collect()
			r.want()
			r.pass(time.Second)
			r.want("list 0")
			r.list(0, listed(a, in("x", 4)))
			r.want("load a")
			r.load()
			r.want("read a 3-11")
		}},
		{name: "cursors that could not be looked up for lanes are looked up again", script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.frame(wrote(a, 1, 1))
			r.want("load a")
			r.e.LoadFailed(r.now, r.loads[0].ID, failed)
			r.loads = nil
			r.collect()
			r.want()
			r.pass(time.Second)
			r.want("load a")
			r.load()
			r.want("read a 1-8")
		}},
		{name: "a cursor committed while its page was looked up is not taken from the look-up", script: func(r *rig) {
			// The look-up reads version 3; meanwhile 4 is delivered, stored, and its
			// lane forgotten. Working from 3 would deliver 4 twice.
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
			r.byHand = true
			r.list(0, listed(a, in("x", 4)))
			r.want("load a")
			r.page(a, run("x", 3, 4)...)
			r.commit()
			r.want("a 0.4")
			if n := r.e.Lanes(); n != 0 {
				r.t.Fatalf("%d lanes: the specification no longer meets its case", n)
			}
			r.answer([]checkpoint.Cursor{at(0, in("x", 3))})
			r.want("load a")
			r.load()
			r.want("read a 4-12")
			r.page(a, in("x", 4))
			r.want("caught up", "live")
		}},
		{name: "the cursor of a lane counts more than the looked up one", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
			r.list(0, listed(a, in("x", 4)))
			r.want("caught up", "live")
		}},
		{name: "all shards are listed again at the interval", options: func(o *engine.Options) { o.Reconcile = time.Minute }, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.pass(time.Minute - time.Millisecond)
			r.want()
			r.pass(time.Millisecond)
			r.want("list 0")
			r.list(0, listed(a, in("x", 4)))
			r.want("read a 3-11")
		}},
		{name: "and never without one", script: func(r *rig) {
			r.live(1)
			r.pass(24 * time.Hour)
			r.want()
		}},
		{name: "a list waits while the lanes have enough to do", script: func(r *rig) {
			r.subscribe(1)
			var items []msg.AggregateItem
			for i := range 5000 {
				items = append(items, listed(keyNumber(i), in("x", 1)))
			}
			r.skip()
			r.listMore(0, 7, items...)
			r.want("read a 1-8", "read b 1-8")
			for i := range 1000 {
				r.page(keyNumber(i), in("x", 1))
				if r.shown[len(r.shown)-1] == "list 0 from 7" {
					return
				}
				r.commit()
			}
			r.t.Fatal("the list never went on")
		}},
	})
}

//covers:slow
func TestOverflow(t *testing.T) {
	two := func(o *engine.Options) { o.MaxLanes, o.Readers = 2, 1 }
	check(t, []rule{
		{name: "hints beyond the bound are dropped, and found again by a list once there is room", options: two, script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1), wrote(c, 1, 1), wrote(d, 1, 1))
			r.want("read a 1-16")
			if n := r.e.Lanes(); n != 2 {
				r.t.Fatalf("%d lanes, not 2", n)
			}
			r.page(a, in("x", 1))
			r.want("a 0.1", "read b 1-16", "list 0")
			r.page(b, in("x", 1))
			r.commit()
			r.want("b 0.1")
			r.list(0, listed(a, in("x", 1)), listed(b, in("x", 1)), listed(c, in("x", 1)), listed(d, in("x", 1)))
			r.want("read c 1-16")
			r.page(c, in("x", 1))
			r.want("c 0.1", "read d 1-16")
		}},
		{name: "a dropped write still beats a list that says deleted", options: func(o *engine.Options) { o.MaxLanes = 1 }, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			relisting(r)
			r.frame(wrote(b, 1, 1), wrote(a, 4, 4))
			r.want("read b 1-8")
			r.list(0, listedDeleted(a))
			r.want("read a 3-11")
		}},
		{name: "what was dropped may have been a delete: continuity ends", options: two, script: func(r *rig) {
			r.stored[c] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1), deleted(c))
			r.page(a, in("x", 1))
			r.page(b, in("x", 1))
			r.commit()
			r.skip()
			r.frame(wrote(c, 9, 9))
			r.want("read c 3-19")
			r.below(c, 7)
			r.want("c reset", "read c 7-22")
		}},
	})
}

//covers:g9
func TestExplicit(t *testing.T) {
	three := func(o *engine.Options) {
		o.Explicit = []msg.Key{a, b, c}
		o.Contains = func(key msg.Key) bool { return key == a || key == b || key == c }
		o.Readers = 3
	}
	check(t, []rule{
		{name: "members no list knows are read once all lists have ended", options: three, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(2)
			r.skip()
			r.list(0, listed(a, in("x", 3)))
			r.want()
			r.list(1)
			r.want("read b 1-5", "read c 1-5")
			r.fail(b, engine.NotFound)
			r.page(c, in("x", 1))
			r.want("c 0.1", "read c 1-")
			r.page(c, in("x", 1))
			r.want("caught up", "live")
		}},
		{name: "a member deleted by the list is not read", options: three, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, listedDeleted(a), listedDeleted(b), listedDeleted(c))
			r.want("a deleted", "caught up", "live")
		}},
		{name: "after a loss only what may live on that shard is read again", options: three, script: func(r *rig) {
			r.subscribe(2)
			r.frameOn(1, wrote(b, 1, 1))
			r.page(b, in("x", 1))
			r.commit()
			r.list(0)
			r.list(1, listed(b, in("x", 1)))
			r.fail(a, engine.NotFound)
			r.fail(c, engine.NotFound)
			r.skip()
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0)
			r.want("read a 1-5", "read c 1-5")
		}},
	})
}
