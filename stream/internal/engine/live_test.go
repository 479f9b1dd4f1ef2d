package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// recent gives a batch the time of the rig's clock.
func (r *rig) recent(b msg.Batch) msg.Batch {
	b.ServerTimestamp = uint64(r.now.UnixMilli())
	return b
}

// lostAndBack loses the watch and has it acknowledged again.
func (r *rig) lostAndBack() {
	r.t.Helper()
	r.lose(0)
	r.pass(time.Second)
	r.ack(0)
	r.skip()
}

// looked has the first page looked at that tells of the start.
func (r *rig) lookedAt(items ...msg.AggregateItem) {
	r.pass(3 * time.Second)
	r.want("list 0")
	r.list(0, items...)
	r.pass(10 * time.Second)
	r.want()
}

func TestLiveOnly(t *testing.T) {
	rules := []rule{
		{name: "an acknowledgement is enough: nothing is listed and nothing read", script: func(r *rig) {
			r.e.Start(r.now)
			r.collect()
			r.e.ShardsKnown(r.now, 2)
			r.collect()
			r.ack(0)
			r.skip()
			r.ack(1)
			r.want("catching up", "caught up", "live")
			r.pass(2 * time.Second)
			r.want()
		}},
		{name: "an aggregate begins behind the batch before the first that is notified", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 5, 6))
			r.want("read a 4-4")
			r.page(a, in("x", 4))
			r.want("adopt a 0.4")
			r.adopted(a, in("x", 4))
			r.want("read a 4-12")
			r.page(a, run("x", 4, 6)...)
			r.want("a 0.5, a 0.6")
		}},
		{name: "what is created is delivered whole", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(created(a), wrote(a, 1, 2))
			r.want("read a 1-8")
			r.page(a, run("x", 1, 2)...)
			r.want("a 0.1, a 0.2")
		}},
		{name: "the first batch of all is delivered, although nobody told of its creation", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 1, 1))
			r.want("read a 1-8")
		}},
		{name: "deletes and trims of what was not delivered mean nothing", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(trimmed(a, 3), deleted(b))
			r.want()
			if n := r.e.Lanes(); n != 0 {
				t.Errorf("%d lanes are left", n)
			}
		}},
		{name: "the first look tells what was there, and reads none of it", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.lookedAt(listed(a, in("x", 3)), listedDeleted(b))
			r.lostAndBack()
			r.list(0, listed(a, in("x", 3)), listedDeleted(b))
			r.want("caught up", "live")
		}},
		{name: "what was committed while the shard was lost is delivered, and nothing older", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.lookedAt(listed(a, in("x", 3)), listed(b, in("x", 2)))
			r.lostAndBack()
			r.list(0, listed(a, later(in("x", 5))), listed(b, in("x", 2)))
			r.want("read a 1-8")
			page := []msg.Batch{in("x", 1), in("x", 2), in("x", 3), later(in("x", 4)), later(in("x", 5))}
			r.page(a, page...)
			r.want("adopt a 0.3")
			r.adopted(a, in("x", 3))
			r.want("read a 3-11")
			r.page(a, page[2:]...)
			r.want("a 0.4, a 0.5", "caught up", "live")
		}},
		{name: "a notification does not tell what else was committed while the shard was lost", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.lookedAt(listed(a, in("x", 1)))
			r.lostAndBack()
			r.frame(wrote(a, 4, 4))
			r.want("read a 1-8")
			r.page(a, in("x", 1), later(in("x", 2)), later(in("x", 3)), later(in("x", 4)))
			r.want("adopt a 0.1")
			r.adopted(a, in("x", 1))
			r.want("read a 1-9")
			r.page(a, in("x", 1), later(in("x", 2)), later(in("x", 3)), later(in("x", 4)))
			r.want("a 0.2, a 0.3, a 0.4")
		}},
		{name: "what lost hints told of is listed", options: func(o *engine.Options) { o.MaxLanes = 1 }, script: func(r *rig) {
			r.byHand = true
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 2, 2), wrote(b, 2, 2), wrote(b, 3, 3))
			r.load()
			r.skip()
			r.page(a, in("x", 1), r.recent(in("x", 2)))
			r.want("adopt a 0.1")
			r.adopted(a, in("x", 1))
			r.want("read a 1-9")
			r.page(a, in("x", 1), r.recent(in("x", 2)))
			r.want("a 0.2", "list 0")
		}},
		{name: "a shard lost before a node has told of the time goes by the client's clock", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			old := in("x", 3)
			r.lostAndBack()
			r.list(0, listed(a, old), listed(b, r.recent(in("x", 2))))
			r.want("read b 1-8")
		}},
		{name: "what a list has just shown may not have been notified yet", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.pass(3 * time.Second)
			shown := listed(a, r.recent(in("x", 3)))
			r.list(0, shown)
			r.lostAndBack()
			r.list(0, shown)
			r.want("read a 1-8")
		}},
		{name: "an aggregate that was delivered is reconciled as any other", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 2))
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 5, 5))
			r.want("read a 2-10")
			r.page(a, run("x", 2, 5)...)
			r.want("a 0.3, a 0.4, a 0.5")
		}},
		{name: "members that are added begin at that moment", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.follow(1, a, b)
			r.want("open 0/0 epoch 2", "catching up")
			r.ack(0)
			r.want("close 0/0 epoch 1", "caught up", "live")
		}},
		{name: "a batch that has gone before it could be read begins with what is newer than the start", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.lookedAt(listed(a, in("x", 3)))
			r.frame(wrote(a, 6, 6))
			r.want("read a 5-5")
			r.page(a)
			r.want("read a 1-8")
			r.page(a, in("x", 1), in("x", 2), in("x", 3), later(in("x", 6)))
			r.want("adopt a 0.3")
		}},
		{name: "what is deleted while it is looked for is forgotten", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 5, 5))
			r.want("read a 4-4")
			r.frame(deleted(a))
			r.fail(a, engine.NotFound)
			r.want("read a 1-8")
			r.fail(a, engine.NotFound)
			r.want()
			if n := r.e.Lanes(); n != 0 {
				t.Errorf("%d lanes are left", n)
			}
		}},
	}
	for i := range rules {
		also := rules[i].options
		rules[i].options = func(o *engine.Options) {
			o.LiveOnly, o.Late = true, 3*time.Second
			if also != nil {
				also(o)
			}
		}
	}
	check(t, rules)
}
