package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// A leader's notifications can be ahead of its reads.
func TestDoubts(t *testing.T) {
	check(t, []rule{
		{name: "a write that is told twice while it does not show is looked for again", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11 at the leader")
			r.frame(wrote(a, 4, 4))
			r.fail(a, engine.NotFound)
			r.want("read a 3-11 at the leader")
			r.fail(a, engine.NotFound)
			r.want()
			r.pass(50 * time.Millisecond)
			r.want("read a 3-11 at the leader")
		}},
		{name: "a version that is shown late is delivered", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3), in("x", 4))
			r.want("a 0.4")
			r.pass(50 * time.Millisecond)
			r.want("read a 4-12")
			r.page(a, in("x", 4))
			r.pass(200 * time.Millisecond)
			r.want("read a 4-12")
			r.page(a, run("x", 4, 6)...)
			r.want("a 0.5, a 0.6")
			r.pass(time.Minute)
			r.want()
		}},
		{name: "an aggregate that is shown late is delivered", script: func(r *rig) {
			r.live(1)
			r.frame(created(a))
			r.want("read a 1-8")
			r.fail(a, engine.NotFound)
			r.want()
			r.pass(time.Second)
			r.want("read a 1-8")
			r.page(a, in("x", 1))
			r.want("a 0.1", "read a 1-")
			r.page(a, in("x", 1))
			r.pass(time.Minute)
			r.want()
		}},
		{name: "a delete that is shown late is announced", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.want("read a 3-11")
			r.page(a, in("x", 3))
			r.pass(time.Second)
			r.want("read a 3-11")
			r.fail(a, engine.NotFound)
			r.want("a deleted")
			r.pass(time.Minute)
			r.want()
		}},
		{name: "a new batch is no delete", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4), deleted(a))
			r.want("read a 3-11")
			r.page(a, in("x", 3), in("x", 4))
			r.want("a 0.4")
			r.pass(time.Second)
			r.want("read a 4-12")
			r.fail(a, engine.NotFound)
			r.want("a deleted")
		}},
		{name: "a recreation that is shown late is found", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 1))
			r.live(1)
			r.frame(deleted(a))
			r.frame(created(a), wrote(a, 1, 1))
			r.want("read a 1-9")
			r.page(a, in("x", 1))
			r.want("read a 1-9")
			r.page(a, in("x", 1))
			r.want()
			r.pass(50 * time.Millisecond)
			r.want("read a 1-9")
			r.page(a, in("y", 1))
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 1.1")
			r.pass(time.Minute)
			r.want()
		}},
		{name: "a delete that is shown before its recreation is announced, and looked behind", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a), created(a))
			r.fail(a, engine.NotFound)
			r.want("read a 3-11", "a deleted")
			r.pass(time.Second)
			r.want("read a 3-11 at the leader")
			r.page(a)
			r.want("read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 1.1", "read a 1- at the leader")
		}},
		{name: "what is heard during the read, and calls for none, is looked for no less", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(created(a))
			r.frame(wrote(a, 1, 1))
			r.want("read a 3-11")
			r.page(a, in("x", 3))
			r.want()
			r.pass(50 * time.Millisecond)
			r.want("read a 3-11")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "a write that continues behind the delete shown is looked for", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.page(a, in("x", 3))
			r.frame(wrote(a, 4, 4))
			r.skip()
			r.fail(a, engine.NotFound)
			r.want("a deleted")
			r.pass(time.Second)
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 4)...)
			r.want("read a 1-8 at the leader")
		}},
		{name: "one before it is not", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.frame(deleted(a))
			r.skip()
			r.fail(a, engine.NotFound)
			r.want("a deleted", "read a 3-11 at the leader")
			r.fail(a, engine.NotFound)
			r.pass(time.Minute)
			r.want()
		}},
		{name: "a life that is trimmed before it is shown is another one", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.page(a, in("x", 3))
			r.pass(50 * time.Millisecond)
			r.skip()
			r.below(a, 5)
			r.want("a reset", "read a 5-12")
		}},
		{name: "a life that begins where two deletes were heard of may be deleted, too", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.page(a, in("x", 3))
			r.frame(created(a), wrote(a, 1, 1))
			r.page(a, in("x", 3))
			r.frame(deleted(a))
			r.skip()
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 1.1")
			r.pass(time.Second)
			r.skip()
			r.fail(a, engine.NotFound)
			r.want("a deleted")
		}},
		{name: "what is shown behind the end of a life may be more of it", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.fail(a, engine.NotFound)
			r.want("read a 3-11", "a deleted")
			r.frame(created(a), wrote(a, 1, 1))
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 4)...)
			r.page(a, run("x", 1, 4)...)
			r.want("read a 1-8 at the leader", "a 1.1, a 1.2, a 1.3, a 1.4")
			r.pass(time.Second)
			r.page(a, in("x", 4))
			r.pass(3 * time.Second)
			r.want("read a 4-12", "read a 4-12")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 2.1")
			r.pass(time.Minute)
			r.skip()
			r.pass(time.Hour)
			r.want()
		}},
		{name: "so may what is shown of an aggregate that was not known when it was deleted", script: func(r *rig) {
			r.live(1)
			r.frame(deleted(a))
			r.frame(created(a), wrote(a, 1, 1))
			r.want("read a 1-8")
			r.page(a, run("x", 1, 3)...)
			r.want("a 0.1, a 0.2, a 0.3", "read a 3-11")
			r.page(a, run("x", 3, 3)...)
			r.pass(time.Second)
			r.want("read a 3-11")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "and in one frame either may be the first", script: func(r *rig) {
			for _, frame := range [][]msg.Notification{{created(a), deleted(a)}, {deleted(a), created(a)}} {
				r := newRig(r.t)
				r.stored[a] = at(0, in("x", 3))
				r.live(1)
				r.frame(frame...)
				r.skip()
				r.page(a)
				r.skip()
				r.page(a, in("y", 1))
				r.skip()
				r.page(a, in("y", 1))
				r.want()
				r.pass(time.Second)
				r.skip()
				r.fail(a, engine.NotFound)
				r.want("a deleted")
			}
		}},
		{name: "what is heard meanwhile is looked for at once, and as patiently", script: func(r *rig) {
			reading(r)
			for range 3 {
				r.page(a, in("x", 3))
				r.pass(time.Second)
				r.want("read a 3-11")
			}
			r.page(a, in("x", 3)) // three seconds to go
			r.frame(wrote(a, 7, 7))
			r.want("read a 3-11")
			r.page(a, in("x", 3))
			r.pass(50 * time.Millisecond)
			r.want("read a 3-11")
			r.page(a, run("x", 3, 7)...)
			r.want("a 0.4, a 0.5, a 0.6, a 0.7")
		}},
		{name: "what was heard during the read is looked for at once", script: func(r *rig) {
			reading(r)
			r.frame(wrote(a, 7, 7))
			r.page(a, run("x", 3, 6)...)
			r.want("a 0.4, a 0.5, a 0.6", "read a 6-14")
		}},
		{name: "in the end what is shown is believed", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3))
			r.doubted(func() { r.page(a, in("x", 3)) })
			r.pass(time.Hour)
			r.want()
			r.frame(wrote(a, 9, 9)) // and forgotten
			r.want("read a 3-11")
		}},
		{name: "CaughtUp waits for two doubts", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 1, 1))
			r.list(0)
			for range 2 {
				r.fail(a, engine.NotFound)
				r.pass(200 * time.Millisecond)
			}
			r.want("read a 1-8", "read a 1-8", "read a 1-8")
			r.fail(a, engine.NotFound)
			r.want("caught up", "live")
		}},
		{name: "what the list tells and the leader does not show is not doubted", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.list(0, listed(a, in("x", 4)))
			r.skip()
			r.page(a, in("x", 3))
			r.want("caught up", "live")
		}},
	})
}

// A create that was shown leaves no doubt about the life.
func TestShownCreateIsContinuous(t *testing.T) {
	check(t, []rule{{name: "what is trimmed behind it is truncated", script: func(r *rig) {
		r.live(1)
		r.frame(created(a), wrote(a, 1, 1))
		r.page(a, in("x", 1))
		r.skip()
		r.frame(wrote(a, 2, 9), trimmed(a, 8))
		r.below(a, 8)
		r.want("read a 1-9", "read a 8-15")
	}}})
}

// A change that was notified before the watch and is shown only after the list is
// found by a later list of what is new.
func TestLateNews(t *testing.T) {
	check(t, []rule{
		{name: "a while after the list", options: func(o *engine.Options) { o.Late = 3 * time.Second }, script: func(r *rig) {
			r.stored[a], r.stored[b] = at(0, in("x", 3)), at(0, in("x", 3))
			r.subscribe(1)
			r.list(0, listed(a, in("x", 3)), listed(b, in("x", 3)))
			r.skip()
			r.pass(2 * time.Second)
			r.want()
			r.pass(time.Second)
			r.want("list 0")
			r.list(0, listed(a, in("x", 4)), listed(b, in("x", 3)))
			r.want("read a 3-11")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
			r.pass(time.Hour)
			r.want()
		}},
	})
}
