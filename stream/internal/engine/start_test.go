package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// fromNow starts a subscription of one shard from now and acknowledges it.
func fromNow(r *rig) {
	r.subscribe(1)
	r.skip()
}

func now(o *engine.Options) { o.FromNow = true }

// adopted says that a first cursor is stored.
func (r *rig) adopted(key msg.Key, batch msg.Batch) {
	r.stored[key] = at(0, batch)
	r.e.Committed(r.now, []checkpoint.Entry{{Key: key, Cursor: at(0, batch)}})
	r.collect()
}

// begun says that the start of some aggregates is noted.
func (r *rig) begun(keys ...msg.Key) {
	r.e.Begun(r.now, func(key msg.Key) bool { return len(keys) == 0 || slices.Contains(keys, key) })
	r.collect()
}

// marked says that the mark of a deleted aggregate is stored.
func (r *rig) marked(key msg.Key, newest uint64) {
	r.stored[key] = checkpoint.Cursor{Deleted: true, Anchor: checkpoint.Anchor{ServerTimestamp: newest}}
	r.e.Committed(r.now, []checkpoint.Entry{{Key: key, Cursor: r.stored[key]}})
	r.collect()
}

// later gives a batch a time long after the others.
func later(b msg.Batch) msg.Batch { b.ServerTimestamp += 2_000_000; return b }

//covers:g7
func TestStartNow(t *testing.T) {
	rules := []rule{
		{name: "what is there gets a cursor at its head, and CaughtUp waits for all of it", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)), listed(b, in("x", 1)))
			r.want("read a 3-3", "read b 1-1")
			r.page(a, in("x", 3))
			r.want("adopt a 0.3")
			r.page(b, in("x", 1))
			r.want("adopt b 0.1")
			r.adopted(a, in("x", 3))
			r.want()
			r.adopted(b, in("x", 1))
			r.want("begin")
			r.begun()
			r.want("caught up", "live")
			if n := r.e.Lanes(); n != 0 {
				t.Errorf("%d lanes are left", n)
			}
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
		}},
		{name: "nothing behind it is delivered before the cursor is stored", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.page(a, in("x", 3))
			r.want("read a 3-3", "adopt a 0.3")
			r.frame(wrote(a, 4, 4))
			r.want()
			r.adopted(a, in("x", 3))
			r.want("read a 3-11", "begin")
			r.page(a, in("x", 3), in("x", 4))
			r.want("a 0.4")
			r.begun()
			r.want("caught up", "live")
		}},
		{name: "what was notified since the acknowledgement is delivered although the list shows it", script: func(r *rig) {
			fromNow(r)
			r.frame(wrote(a, 4, 5))
			r.want("read a 3-3")
			r.list(0, listed(a, in("x", 5)))
			r.page(a, in("x", 3))
			r.want("adopt a 0.3")
			r.adopted(a, in("x", 3))
			r.want("read a 3-11", "begin")
			r.page(a, run("x", 3, 5)...)
			r.begun()
			r.want("a 0.4, a 0.5", "caught up", "live")
		}},
		{name: "what was listed before a notification begins behind the list", script: func(r *rig) {
			r.e.Start(r.now) // a second reader is busy, so that the lane waits
			fromNow(r)
			r.list(0, listed(a, in("x", 3)), listed(b, in("x", 3)), listed(c, in("x", 3)))
			r.want("read a 3-3", "read b 3-3")
			r.frame(wrote(c, 6, 6)) // 4 and 5 were notified to nobody here, but are newer than the list
			r.page(a, in("x", 3))
			r.want("read c 3-3", "adopt a 0.3")
		}},
		{name: "what is created since is delivered whole", script: func(r *rig) {
			fromNow(r)
			r.frame(created(a), wrote(a, 1, 2))
			r.want("read a 1-8")
			r.page(a, run("x", 1, 2)...)
			r.want("a 0.1, a 0.2")
			r.list(0)
			r.want("begin")
			r.begun()
			r.want("caught up", "live")
		}},
		{name: "what is recreated since is delivered from the start of its life", script: func(r *rig) {
			fromNow(r)
			r.frame(deleted(a), created(a), wrote(a, 3, 3))
			r.want("read a 1-8")
		}},
		{name: "what is recreated while it is looked for begins anew", script: func(r *rig) {
			fromNow(r)
			r.frame(wrote(a, 3, 3))
			r.want("read a 2-2")
			r.frame(deleted(a), created(a))
			r.page(a, in("x", 2))
			r.want("adopt a 0.2")
			r.adopted(a, in("x", 2))
			r.want("read a 2-10")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "a trim alone tells nothing: the list is waited for", script: func(r *rig) {
			fromNow(r)
			r.frame(trimmed(a, 2))
			r.want()
			r.list(0, listed(a, in("x", 3)))
			r.want("read a 3-3")
		}},
		{name: "what was written and is not listed is new", script: func(r *rig) {
			fromNow(r)
			r.frame(wrote(a, 1, 2))
			r.list(0)
			r.want("read a 1-8", "begin")
		}},
		{name: "trims and deletes of what has no cursor keep nothing and hold nobody up", options: func(o *engine.Options) { o.MaxLanes = 32 << 10 }, script: func(r *rig) {
			fromNow(r)
			for n := range 5000 {
				r.frame(trimmed(keyNumber(n), 2), deleted(keyNumber(n)))
			}
			if n := r.e.Lanes(); n != 0 {
				t.Errorf("%d lanes are left", n)
			}
			r.skip()
			r.listMore(0, 7)
			r.list(0)
			r.want("list 0 from 7", "begin")
		}},
		{name: "what is listed as deleted has nothing to begin with", script: func(r *rig) {
			fromNow(r)
			r.frame(trimmed(a, 2))
			r.list(0, listedDeleted(a), listedDeleted(b))
			r.want("adopt a 0.0 b 0.0")
			r.marked(a, 0)
			r.marked(b, 0)
			r.begun()
			r.want("begin", "caught up", "live")
		}},
		{name: "what has a cursor goes on from it", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 2))
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.want("read a 2-10", "begin")
			r.page(a, in("x", 2), in("x", 3))
			r.want("a 0.3")
		}},
		{name: "a follower without the head is no proof that it is gone", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.want("read a 3-3")
			r.elsewhere(a)
			r.want("read a 3-3 at the leader")
			r.page(a, in("x", 3))
			r.want("adopt a 0.3")
		}},
		{name: "a fresh life of one batch is listed with the versions of the earlier one", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.elsewhere(a)
			r.page(a)
			r.want("read a 3-3", "read a 3-3 at the leader", "read a 1-1 at the leader")
			r.page(a, in("x", 1), in("y", 1))
			r.want("adopt a 0.1")
			r.adopted(a, in("y", 1))
			r.want("read a 1-9", "begin")
			r.page(a, in("x", 1), in("y", 1))
			r.want("read a 1-1")
			r.page(a, in("x", 1), in("y", 1))
			r.want("read a 2-9")
		}},
		{name: "a leader without any of it has another life, which is delivered", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.page(a)
			r.page(a)
			r.want("read a 3-3", "read a 1-1", "read a 1-8", "begin")
		}},
		{name: "deleted while it is looked for", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.fail(a, engine.NotFound)
			r.want("read a 3-3", "adopt a 0.0")
			r.marked(a, in("x", 3).ServerTimestamp)
			r.begun()
			r.want("begin", "caught up", "live")
		}},
		{name: "what was deleted by then and is continued begins behind what it held", script: func(r *rig) {
			fromNow(r)
			r.list(0, listedDeleted(a))
			r.marked(a, 0)
			r.begun()
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-3")
			r.page(a, in("x", 3))
			r.want("adopt a 0.3")
			r.stored[a] = at(0, in("x", 3))
			r.e.Committed(r.now, []checkpoint.Entry{{Key: a, Cursor: at(0, in("x", 3))}})
			r.collect()
			r.page(a, run("x", 3, 4)...)
			r.want("read a 3-11", "a 0.4")
		}},
		{name: "what was deleted by then and begins anew is new", script: func(r *rig) {
			fromNow(r)
			r.list(0, listedDeleted(a))
			r.marked(a, 0)
			r.begun()
			r.skip()
			r.frame(created(a), wrote(a, 1, 1))
			r.want("read a 1-8 at the leader")
			r.page(a, in("y", 1))
			r.want("a 0.1")
		}},
		{name: "what was continued while nobody watched begins behind what is older than the start", script: func(r *rig) {
			r.stored[a] = checkpoint.Cursor{Deleted: true, Anchor: checkpoint.Anchor{ServerTimestamp: 1_000_000}}
			r.e = engine.New(engine.Options{
				Contains: func(msg.Key) bool { return true }, Parts: 1, Readers: 2, Buffer: 32 << 10, MaxLanes: 1000,
				Liveness: 15 * time.Second, Healthy: 10 * time.Second, NewBackoff: func() engine.Backoff { return new(doubling) },
			})
			r.live(1)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, later(in("x", 4))))
			r.want("read a 1-8 at the leader")
			r.page(a, in("x", 1), in("x", 2), in("x", 3), later(in("x", 4)))
			r.want("adopt a 0.3")
			r.adopted(a, in("x", 3))
			r.want("read a 3-11")
			r.page(a, in("x", 3), later(in("x", 4)))
			r.want("a 0.4", "caught up", "live")
		}},
		{name: "what a node whose clock is late wrote since is delivered", script: func(r *rig) {
			b := in("x", 4)
			r.stored[a] = checkpoint.Cursor{Deleted: true, Anchor: checkpoint.Anchor{ServerTimestamp: b.ServerTimestamp + 4000}}
			r.begun()
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, b))
			r.want("read a 1-8 at the leader", "begin")
			r.page(a, in("x", 1), in("x", 4))
			r.want("a 0.1, a 0.4")
		}},
		{name: "trimmed while it is looked for", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.below(a, 5)
			r.want("read a 3-3", "read a 1-8", "begin")
			r.below(a, 5)
			r.want("read a 5-12")
		}},
		{name: "a head that cannot be read holds nobody up", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.want("read a 3-3")
			r.fail(a, engine.TooLarge)
			r.want("read a 1-0")
			r.page(a)
			r.want("adopt a 0.0")
			r.marked(a, in("x", 3).ServerTimestamp)
			r.want("begin")
			r.begun()
			r.want("caught up", "live")
		}},
		{name: "nor does it let out what lies before it", script: func(r *rig) {
			fromNow(r)
			r.list(0, listed(a, in("x", 3)))
			r.fail(a, engine.TooLarge)
			r.page(a)
			r.marked(a, in("x", 3).ServerTimestamp+6000)
			r.begun()
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-3")
			r.fail(a, engine.TooLarge)
			r.want("read a 1-0")
			r.page(a)
			r.want("a unreadable 3")
		}},
		{name: "a shard lost in between begins again where it is by then", script: func(r *rig) {
			fromNow(r)
			r.listMore(0, 7, listed(a, in("x", 3)))
			r.page(a, in("x", 3))
			r.adopted(a, in("x", 3))
			r.want("read a 3-3", "list 0 from 7", "adopt a 0.3")
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("x", 4)), listed(b, in("x", 2)))
			r.want("read a 3-11", "read b 2-2")
		}},
		{name: "once it is made, whatever has no cursor is new", script: func(r *rig) {
			fromNow(r)
			r.list(0)
			r.begun()
			r.want("begin", "caught up", "live")
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("x", 2)))
			r.want("read a 1-8")
		}},
	}
	for i := range rules {
		also := rules[i].options
		rules[i].options = func(o *engine.Options) {
			now(o)
			if also != nil {
				also(o)
			}
		}
	}
	check(t, rules)
}
