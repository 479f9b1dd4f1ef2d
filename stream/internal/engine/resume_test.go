package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

//covers:g6
func TestResume(t *testing.T) {
	check(t, []rule{
		{name: "a read begins at the cursor, so that the batch there can be compared", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 5))
			r.want("read a 3-11")
			r.page(a, run("x", 3, 5)...)
			r.want("a 0.4, a 0.5")
		}},
		{name: "an aggregate never seen is read from its start", script: func(r *rig) {
			r.live(1)
			r.frame(created(a), wrote(a, 1, 1))
			r.want("read a 1-8")
			r.page(a, in("x", 1))
			r.want("a 0.1")
		}},
		{name: "what is older than the cursor is not read at all", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 2, 3))
			r.want()
		}},
		{name: "another batch at the cursor is a Reset, once", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
			r.page(a, run("y", 3, 4)...)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, run("y", 1, 4)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4")
			r.commit()
			r.frame(wrote(a, 5, 5))
			r.want("read a 4-12")
			r.page(a, run("y", 4, 5)...)
			r.want("a 1.5")
		}},
		{name: "behind a Reset the leader shows the next life, now and after a restart", script: func(r *rig) {
			r.stored[a] = checkpoint.Cursor{Life: 1}
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 1-8 at the leader")
			r.page(a, run("x", 1, 4)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4")
			r.commit()
			r.frame(wrote(a, 5, 5))
			r.want("read a 4-12")
		}},
		{name: "a head below the cursor is a Reset", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(created(a), wrote(a, 1, 2))
			r.want("read a 3-11")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, run("y", 1, 2)...)
			r.want("a 1.1, a 1.2")
		}},
		{name: "no Reset is needless: a create and a delete that change nothing", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a), created(a))
			r.want("read a 3-11")
			r.page(a, in("x", 3))
			r.want()
		}},
		{name: "no Reset is needless: reconnected, and listed with another time", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("y", 3)))
			r.want("read a 3-11")
			r.page(a, in("x", 3))
			r.want("caught up", "live")
		}},
		{name: "a cursor at version 1 is compared with the last batch of a read of version 1", script: func(r *rig) {
			r.stored[a] = at(0, in("y", 1))
			r.live(1)
			r.frame(wrote(a, 4, 5))
			r.want("read a 1-9")
			// A read from 1 runs into the life before.
			r.page(a, append(run("x", 1, 3), in("y", 1), in("y", 4), in("y", 5))...)
			r.want("read a 1-1")
			r.page(a, in("x", 1), in("y", 1))
			r.want("read a 2-9")
			r.page(a, in("y", 4), in("y", 5))
			r.want("read a 1-1")
			r.page(a, in("x", 1), in("y", 1))
			r.want("a 0.4, a 0.5")
		}},
		{name: "a start takes the last batch of version 1 and goes on from 2", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 1-8")
			r.page(a, append(run("x", 1, 3), in("y", 1), in("y", 4))...)
			r.want("read a 1-1")
			r.page(a, in("x", 1), in("y", 1))
			r.want("a 0.1", "read a 2-9")
			r.page(a, in("y", 4))
			r.want("read a 1-1")
			r.page(a, in("x", 1), in("y", 1))
			r.want("a 0.4")
		}},
		{name: "a page from 1 that is not complete proves nothing", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 3))
			r.want("read a 1-8")
			r.pageNext(a, 3, run("x", 1, 2)...)
			r.want("read a 1-1")
			r.page(a, in("x", 1))
			r.want("a 0.1", "read a 2-9")
		}},
		{name: "a range merged over two lives is not the head", script: func(r *rig) {
			// 5, 6, a delete, and a fresh life 1, 2 in one window.
			r.stored[a] = at(0, in("x", 4))
			r.live(1)
			r.frame(wrote(a, 1, 6), deleted(a), created(a))
			r.want("read a 4-12")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, run("y", 1, 2)...)
			r.want("a 1.1, a 1.2")
			r.commit()
			r.doubted(func() { r.page(a, in("y", 2)) })
			r.want()
			if n := r.e.Lanes(); n != 0 {
				r.t.Errorf("%d lanes wait for a version of the life before", n)
			}
		}},
		{name: "what is read behind the cursor is delivered only if the cursor's batch is still there", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			narrow(r)
			r.page(a, in("x", 4))
			r.want("read a 3-3")
			r.page(a, in("x", 3))
			r.want("a 0.4")
		}},
		{name: "and is dropped if it is not", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			narrow(r)
			r.page(a, in("y", 4))
			r.want("read a 3-3")
			r.page(a, in("y", 3))
			r.want("a reset", "read a 1-1 at the leader")
		}},
		{name: "nothing behind the cursor does not prove its life either", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			narrow(r)
			r.page(a)
			r.want("read a 3-3")
			r.vanish(a)
			r.want("a reset", "read a 1-1 at the leader")
		}},
		{name: "a leader that does not show what another node has shown is looked at again", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
			r.page(a) // nothing, not even the cursor's batch
			r.want()
			r.pass(50 * time.Millisecond)
			r.want("read a 3-11")
			if !r.fresh[a] {
				r.t.Error("what is doubted is looked for where it is doubted")
			}
			r.page(a)
			r.pass(200 * time.Millisecond)
			r.want("read a 3-11")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
			r.pass(time.Minute) // that is over
			r.frame(wrote(a, 5, 5))
			r.skip()
			r.page(a)
			r.want()
		}},
		{name: "an empty page that names another one is no absence, however long it comes", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			for range 6 {
				r.pageNext(a, 5)
				r.pass(time.Minute)
			}
			if slices.ContainsFunc(r.delivered, func(c engine.Change) bool { return c.Kind == engine.Reset }) {
				r.t.Errorf("delivered %+v", r.delivered)
			}
		}},
		{name: "of what was not seen lately and of which no write was notified nothing is nothing at once", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(msg.Notification{Key: a, Operation: msg.OpWrite}) // of no version
			r.want("read a 3-11")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "what was seen a moment ago is not gone", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.page(a, run("x", 3, 4)...)
			r.frame(msg.Notification{Key: a, Operation: msg.OpWrite})
			r.skip()
			r.page(a)
			r.want()
			r.pass(50 * time.Millisecond)
			r.want("read a 4-12")
			r.page(a, run("x", 4, 5)...)
			r.want("a 0.5")
		}},
		{name: "after a second nothing is nothing", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.vanish(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "nothing is believed at once where a delete or a list tells of another life", script: func(r *rig) {
			r.stored[a], r.stored[b] = at(0, in("x", 3)), at(0, in("x", 3))
			r.subscribe(1)
			r.frame(deleted(a), created(a))
			r.skip()
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.skip()
			r.list(0, listed(b, in("y", 2)))
			r.want("read b 3-11")
			r.page(b)
			r.want("b reset", "read b 1-8 at the leader")
		}},
		{name: "a look-up that names no version is read to its end", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 1))
			r.live(1)
			r.frame(msg.Notification{Key: a, Operation: msg.OpWrite})
			r.want("read a 1-9")
			// After version 1 a fresh life may jump, so only an open end shows what follows.
			r.page(a, in("x", 1))
			r.want("read a 1-")
			r.page(a, in("x", 1), in("x", 40))
			r.want("a 0.40")
		}},
		{name: "a full range is followed by another one when no version was named", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(trimmed(a, 2), msg.Notification{Key: a, Operation: msg.OpWrite})
			r.want("read a 3-11")
			r.page(a, run("x", 3, 11)...)
			r.want("a 0.4, a 0.5, a 0.6, a 0.7, a 0.8, a 0.9, a 0.10, a 0.11", "read a 11-19")
			r.page(a, in("x", 11))
			r.want()
		}},
	})
}

// narrow answers a's reads as too large until one asks for a version alone.
func narrow(r *rig) {
	r.t.Helper()
	for _, want := range []string{"read a 3-11", "read a 3-7", "read a 3-5"} {
		r.want(want)
		r.fail(a, engine.TooLarge)
	}
	r.want("read a 4-4")
}
