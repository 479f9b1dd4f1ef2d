package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

//covers:g2 trims
func TestTruncated(t *testing.T) {
	check(t, []rule{
		{name: "watched without a break, exactly what was trimmed is lost", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 9), trimmed(a, 7))
			r.want("read a 3-11")
			r.below(a, 7)
			r.want("read a 7-14")
			r.page(a, run("x", 7, 9)...)
			r.want("a truncated 4-6", "read a 1-0")
			r.below(a, 7)
			r.want("a 0.7, a 0.8, a 0.9")
		}},
		{name: "a floor right behind the cursor loses nothing", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4), trimmed(a, 4))
			r.want("read a 3-11")
			r.below(a, 4)
			r.want("read a 4-11")
			r.page(a, in("x", 4))
			r.want("read a 3-3")
			r.below(a, 4)
			r.want("a 0.4")
		}},
		{name: "a trim below the cursor is not even read", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(trimmed(a, 2))
			r.want()
		}},
		{name: "a second trim meanwhile is announced, too", script: func(r *rig) {
			truncating(r)
			r.below(a, 9)
			r.want("read a 3-11")
			r.below(a, 9)
			r.want("read a 9-16")
			r.page(a, in("x", 9))
			r.want("a truncated 4-8", "read a 1-0")
		}},
		{name: "after a lost watch the life itself is in doubt", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("x", 9)))
			r.want("read a 3-11")
			r.below(a, 7)
			r.want("a reset", "read a 7-14")
			r.page(a, run("x", 7, 9)...)
			r.want("a truncated 1-6", "read a 1-0")
			r.below(a, 7)
			r.want("a 1.7, a 1.8, a 1.9", "caught up", "live")
		}},
		{name: "after a delete or a create the life is in doubt", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a), wrote(a, 4, 9))
			r.want("read a 3-11")
			r.below(a, 7)
			r.want("a reset", "read a 7-14")
		}},
		{name: "a delete heard of before the batches behind the floor are delivered counts", script: func(r *rig) {
			truncating(r)
			r.page(a, run("y", 7, 9)...)
			r.want("a truncated 4-6", "read a 1-0")
			r.frame(deleted(a), created(a))
			r.below(a, 7)
			r.want("read a 6-14")
			r.below(a, 7)
			r.want("a reset", "read a 7-14")
		}},
		{name: "also where the floor lay right behind the cursor", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
			r.below(a, 4)
			r.want("read a 4-11")
			r.page(a, in("y", 4))
			r.want("read a 3-3")
			r.frame(deleted(a), created(a))
			r.below(a, 4)
			r.want("read a 3-11")
			r.below(a, 4)
			r.want("a reset", "read a 4-11")
		}},
		{name: "a floor that is gone is another life", script: func(r *rig) {
			truncating(r)
			r.page(a, run("y", 7, 9)...)
			r.want("a truncated 4-6", "read a 1-0")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "a start begins at the floor", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 9, 9))
			r.want("read a 1-8")
			r.below(a, 7)
			r.want("read a 7-14")
		}},
		{name: "a cursor below a floor, stored and resumed, is not verified", script: func(r *rig) {
			r.stored[a] = checkpoint.Cursor{Version: 6}
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("x", 9)))
			r.want("read a 6-14")
			r.page(a, run("x", 6, 9)...)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "a floor that went back is another life", script: func(r *rig) {
			r.stored[a] = checkpoint.Cursor{Version: 6}
			r.live(1)
			r.frame(wrote(a, 9, 9))
			for _, want := range []string{"read a 6-14", "read a 6-10", "read a 6-8"} {
				r.want(want)
				r.fail(a, engine.TooLarge)
			}
			r.want("read a 7-7")
			r.page(a, in("y", 7))
			r.want("read a 1-0")
			r.below(a, 3)
			r.want("a reset", "read a 1-1 at the leader")
		}},
		{name: "a hole behind the floor is looked over", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 30, 30))
			r.want("read a 1-8")
			r.below(a, 7)
			r.want("read a 7-14")
			r.page(a)
			r.want("a truncated 1-6", "read a 1-0")
			r.below(a, 7)
			r.want("read a 6-30")
			r.below(a, 7)
			r.want("read a 7-30")
			r.page(a, in("x", 30))
			r.want("read a 1-0")
			r.below(a, 7)
			r.want("a 0.30")
		}},
		{name: "a truncation whose floor has no batch proves nothing", script: func(r *rig) {
			truncating(r)
			r.page(a, in("y", 9))
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "its cursor keeps the anchor of the batch at the floor, by which it is resumed", script: func(r *rig) {
			truncating(r)
			r.page(a, run("x", 7, 9)...)
			r.want("a truncated 4-6", "read a 1-0")
			stored := at(0, in("x", 7))
			stored.Version = 6
			if got := r.delivered[1].Cursor; got != stored {
				r.t.Fatalf("the cursor is %+v, not %+v", got, stored)
			}
			resumed := newRig(r.t)
			resumed.stored[a] = stored
			resumed.subscribe(1)
			resumed.skip()
			resumed.list(0, listed(a, in("x", 9)))
			resumed.want("read a 6-14")
			resumed.below(a, 7)
			resumed.want("read a 7-14")
			resumed.page(a, run("x", 7, 9)...)
			resumed.want("read a 1-0")
			resumed.below(a, 7)
			resumed.want("a 0.7, a 0.8, a 0.9", "caught up", "live")
		}},
		{name: "a delete heard of before it is announced makes it a Reset", script: func(r *rig) {
			truncating(r)
			r.frame(deleted(a), created(a))
			r.page(a, run("y", 7, 9)...)
			r.want("read a 3-11")
			r.below(a, 7)
			r.want("a reset", "read a 7-14")
		}},
		{name: "unless another batch is there by now", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 7))
			r.stored[a] = checkpoint.Cursor{Version: 6, Anchor: r.stored[a].Anchor}
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 9)))
			r.want("read a 6-14")
			r.below(a, 7)
			r.want("read a 7-14")
			r.page(a, run("y", 7, 9)...)
			r.want("a reset", "a truncated 1-6", "read a 1-0")
			r.below(a, 7)
			r.want("a 1.7, a 1.8, a 1.9", "caught up", "live")
		}},
		{name: "which is compared also if that read failed at first", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 6))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 9)))
			r.below(a, 7)
			r.want("read a 6-14", "read a 7-14")
			r.fail(a, engine.Unavailable)
			r.pass(time.Second)
			r.want("read a 6-14")
			r.below(a, 7)
			r.want("read a 7-14")
			r.page(a, run("y", 7, 9)...)
			r.want("a reset", "a truncated 1-6", "read a 1-0")
		}},
		{name: "or none, or the floor has moved", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 7))
			r.stored[a] = checkpoint.Cursor{Version: 6, Anchor: r.stored[a].Anchor}
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("x", 9)))
			r.want("read a 6-14")
			r.below(a, 8)
			r.want("a reset", "read a 8-15")
			r.page(a, run("x", 8, 9)...)
			r.want("a truncated 1-7", "read a 1-0")
		}},
		{name: "or a delete was heard of", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 7))
			r.stored[a] = checkpoint.Cursor{Version: 6, Anchor: r.stored[a].Anchor}
			r.live(1)
			r.frame(deleted(a), wrote(a, 8, 9))
			r.want("read a 6-14")
			r.below(a, 7)
			r.want("a reset", "read a 7-14")
		}},
		{name: "a batch at the floor that is another one than announced is another life's", script: func(r *rig) {
			truncating(r)
			r.page(a, run("x", 7, 9)...)
			r.want("a truncated 4-6", "read a 1-0")
			r.fail(a, engine.Unavailable)
			r.pass(time.Second)
			r.want("read a 6-14")
			r.below(a, 7)
			r.want("read a 7-14")
			r.page(a, run("y", 7, 9)...)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "what is lost is announced before the batch at the floor is called unreadable", script: func(r *rig) {
			truncating(r)
			for range 12 {
				switch shown := r.shown; {
				case len(shown) > 0 && (shown[len(shown)-1] == "read a 3-3" || shown[len(shown)-1] == "read a 1-0"):
					r.below(a, 7)
				case len(r.reads) > 0:
					r.fail(a, engine.TooLarge)
				}
			}
			if got := len(r.delivered); got != 3 || r.delivered[1].Kind != engine.Truncated || r.delivered[2].Kind != engine.Unreadable {
				r.t.Errorf("delivered %+v", r.delivered)
			}
		}},
	})
}

// truncating brings a from version 3 to the read behind a truncation to 6.
func truncating(r *rig) {
	r.t.Helper()
	r.stored[a] = at(0, in("x", 3))
	r.live(1)
	r.frame(wrote(a, 4, 9))
	r.want("read a 3-11")
	r.below(a, 7)
	r.want("read a 7-14")
}

//covers:deletes
func TestDeleted(t *testing.T) {
	check(t, []rule{
		{name: "a delete is announced exactly once", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.want("read a 3-11")
			r.fail(a, engine.NotFound)
			r.want("a deleted")
			r.commit()
			r.frame(deleted(a))
			r.want("read a 3-11 at the leader")
			r.fail(a, engine.NotFound)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listedDeleted(a))
			r.want("caught up", "live")
		}},
		{name: "what was never delivered is not announced as deleted", script: func(r *rig) {
			r.live(1)
			r.frame(deleted(a))
			r.want("read a 1-8")
			r.fail(a, engine.NotFound)
			r.want()
		}},
		{name: "what follows a delete is the next life, from its start", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 4)...)
			r.want("read a 1-8 at the leader")
			r.page(a, run("x", 1, 4)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4")
		}},
		{name: "what is shown of the life that ended is not the next one", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(created(a))
			r.want("read a 3-11 at the leader")
			r.page(a, in("x", 3))
			r.want("read a 3- at the leader")
			r.page(a, in("x", 3))
			r.want()
			r.pass(time.Second)
			r.want("read a 3-11 at the leader")
			r.page(a)
			r.want("read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 1.1", "read a 1- at the leader")
		}},
		{name: "not even when nothing else is ever shown", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 3, 4))
			r.page(a, in("x", 3))
			r.doubted(func() { r.page(a, in("x", 3)) })
			r.pass(time.Hour)
			r.want()
		}},
		{name: "a life that goes on behind a hole is found, however wide", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 40, 40))
			r.want("read a 3-11 at the leader")
			r.page(a, in("x", 3))
			r.want("read a 3-27 at the leader")
			r.page(a, in("x", 3))
			r.want("read a 3-59 at the leader")
			r.page(a, in("x", 3), in("x", 40))
			r.want("read a 1-8 at the leader")
			r.page(a, run("x", 1, 3)...)
			r.want("a 1.1, a 1.2, a 1.3", "read a 3-11 at the leader")
		}},
		{name: "the life that ended may be shown again after its end was", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 1, 1))
			r.want("read a 3-11 at the leader")
			r.page(a)
			r.want("read a 1-8 at the leader")
			r.page(a, run("x", 1, 3)...)
			r.want()
			r.pass(50 * time.Millisecond)
			r.want("read a 3-11 at the leader")
			r.page(a)
			r.page(a, in("y", 1))
			r.want("read a 1-8 at the leader", "a 1.1")
		}},
		{name: "and goes on beyond what is shown", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 20, 20))
			r.want("read a 3-11 at the leader")
			r.fail(a, engine.Silent)
			r.want("read a 1-8 at the leader")
			r.page(a, run("x", 1, 3)...)
			r.want("read a 1-24 at the leader")
			r.page(a, append(run("x", 1, 3), in("x", 20))...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.20")
		}},
		{name: "as far as it goes", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(created(a))
			r.want("read a 3-11 at the leader")
			r.fail(a, engine.Silent)
			r.page(a, run("x", 1, 3)...)
			r.want("read a 1-8 at the leader", "read a 1- at the leader")
			r.page(a, append(run("x", 1, 3), in("x", 20))...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.20")
		}},
		{name: "and if nobody named a version", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(created(a))
			r.page(a, in("x", 3))
			r.want("read a 3-11 at the leader", "read a 3- at the leader")
			r.page(a, in("x", 3), in("x", 400))
			r.want("read a 1-8 at the leader")
		}},
		{name: "its batch trimmed, unreadable or too large tells nothing", script: func(r *rig) {
			for _, kind := range []engine.FailureKind{engine.BelowFloor, engine.Silent, engine.TooLarge} {
				r := newRig(r.t)
				r.stored[a] = gone(at(0, in("x", 3)))
				r.live(1)
				r.frame(wrote(a, 5, 5))
				r.want("read a 3-11 at the leader")
				r.fail(a, kind)
				r.want("read a 1-8 at the leader")
			}
		}},
		{name: "a life that jumped is another one although one batch stands there", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11 at the leader")
			r.page(a, in("y", 4))
			r.want("read a 1-8 at the leader")
		}},
		{name: "what continues is not delivered again if so wished", options: continueOnly, script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 4)...)
			r.want("a 1.4")
		}},
		{name: "what does not continue is delivered from its start all the same", options: continueOnly, script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(created(a), wrote(a, 1, 1))
			r.want("read a 3-11 at the leader")
			r.page(a)
			r.want("read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 1.1")
		}},
		{name: "a floor above what was deleted proves no continuation", options: continueOnly, script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 5, 6))
			r.want("read a 3-11 at the leader")
			r.below(a, 5)
			r.want("read a 5-12 at the leader")
			r.page(a, run("y", 5, 6)...)
			r.want("a truncated 1-4", "read a 1-0 at the leader")
			r.below(a, 5)
			r.want("a 1.5, a 1.6")
		}},
		{name: "versions left out early, between the cursor and what is notified, may hide another life", options: late, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 6, 6))
			r.want("read a 3-11")
			r.below(a, 5)
			r.want("a reset", "read a 5-12")
		}},
		{name: "none are left out where all is notified", options: late, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(trimmed(a, 5), wrote(a, 4, 6))
			r.want("read a 3-11")
			r.below(a, 5)
			r.want("read a 5-12")
		}},
		{name: "nor matter once the newest changes were looked through again", options: late, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.pass(3 * time.Second)
			r.want("list 0")
			r.listFails(engine.Unavailable)
			r.pass(3 * time.Second)
			r.want("list 0")
			r.list(0)
			r.frame(wrote(a, 6, 6))
			r.want("read a 3-11")
			r.below(a, 5)
			r.want("read a 5-12")
		}},
		{name: "a list that says deleted beats a read that shows a ghost", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			relisting(r)
			r.frame(deleted(a))
			r.want("read a 3-11")
			r.list(0, listedDeleted(a))
			r.page(a, run("x", 3, 5)...)
			r.want("a deleted", "caught up", "live")
		}},
		{name: "also for an aggregate of which nothing was delivered", script: func(r *rig) {
			relisting(r)
			r.frame(deleted(a))
			r.want("read a 1-8")
			r.list(0, listedDeleted(a))
			r.page(a, run("x", 1, 5)...)
			r.want("caught up", "live")
		}},
		{name: "a list that says deleted needs no read", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			relisting(r)
			r.list(0, listedDeleted(a))
			r.want("a deleted", "caught up", "live")
		}},
		{name: "and is not asked for again behind a read that says the same", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			relisting(r)
			r.frame(deleted(a))
			r.want("read a 3-11")
			r.list(0, listedDeleted(a))
			r.fail(a, engine.NotFound)
			r.want("a deleted", "caught up", "live")
		}},
		{name: "but a write heard of since the list began beats it", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			relisting(r)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
			r.commit()
			r.list(0, listedDeleted(a))
			r.want("read a 4-12")
			r.page(a, in("x", 4))
			r.want("caught up", "live")
		}},
		{name: "and so does one heard of after it", script: func(r *rig) {
			r.stored[a], r.stored[b] = at(0, in("x", 3)), at(0, in("x", 3))
			relisting(r)
			r.frame(deleted(a))
			r.want("read a 3-11")
			r.list(0, listedDeleted(a))
			r.frame(wrote(a, 4, 4))
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
			for range 2 { // for the delete
				r.pass(200 * time.Millisecond)
				r.want("read a 4-12")
				r.page(a, in("x", 4))
			}
			r.want("caught up", "live")
		}},
		{name: "a later list that says alive beats an earlier one", options: func(o *engine.Options) { o.Readers = 1 }, script: func(r *rig) {
			r.stored[a], r.stored[b] = at(0, in("x", 3)), at(0, in("x", 3))
			relisting(r)
			r.frame(wrote(b, 4, 4))
			r.want("read b 3-19")
			r.list(0, listedDeleted(a)) // waits behind b
			r.lose(0)
			r.pass(2 * time.Second)
			r.ack(0)
			r.list(0, listed(a, in("x", 4)))
			r.skip()
			r.page(b, run("x", 3, 4)...)
			r.want("b 0.4", "read a 3-19")
		}},
	})
}

func continueOnly(o *engine.Options) { o.ContinueOnly = true }

// late has the newest changes looked through once more.
func late(o *engine.Options) { o.Late = 3 * time.Second }

// relisting brings a live subscription into a list under way.
func relisting(r *rig) {
	r.t.Helper()
	r.live(1)
	r.lose(0)
	r.pass(time.Second)
	r.ack(0)
	r.want("reconnecting: test", "open 0/0 epoch 2", "catching up", "list 0")
}
