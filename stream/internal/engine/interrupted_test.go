package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// cutShort has the shard's watch lost once during the list, so that the next loss is the
// second in a row, and lists one page of more at the node watched.
func (r *rig) cutShort() {
	r.t.Helper()
	r.subscribe(1)
	r.listAt(watchedNode, msg.Some[uint64](7), listed(a, in("x", 1)))
	r.page(a, in("x", 1))
	r.lostAndBack()
	r.listAt(watchedNode, msg.Some[uint64](7), listed(a, in("x", 1)))
	r.want("list 0 from 7 at watched")
}

// Watches that are lost faster than a list takes must not keep its last pages out of reach.
//
//covers:g9 lists cuts
func TestListsThatAreInterrupted(t *testing.T) {
	check(t, []rule{
		{name: "after one loss a list begins again", script: func(r *rig) {
			r.subscribe(1)
			r.listAt(watchedNode, msg.Some[uint64](7))
			r.lose(0)
			r.pass(time.Second)
			r.skip()
			r.ack(0)
			r.want("catching up", "list 0")
		}},
		{name: "after two in a row it goes on, and another one follows", script: func(r *rig) {
			r.cutShort()
			r.listAt(watchedNode, msg.Some[uint64](8))
			r.want("list 0 from 8 at watched")
			r.lose(0)
			r.pass(8 * time.Second)
			r.skip()
			r.listAt(watchedNode, msg.Some[uint64](9)) // the page that was under way
			r.want()
			r.ack(0)
			r.want("catching up", "list 0 from 9 at watched")
			r.list(0, listed(b, in("x", 1)))
			r.want("read b 1-8", "list 0")
			r.page(b, in("x", 1))
			r.skip()
			r.list(0, listed(b, in("x", 1)), listed(a, in("x", 1)))
			r.want("caught up", "live")
		}},
		{name: "once the shard is reconciled a loss is the first again", script: func(r *rig) {
			r.cutShort()
			r.listAt(watchedNode, msg.None[uint64]())
			r.lose(0)
			r.pass(8 * time.Second)
			r.ack(0)
			r.skip()
			r.listAt(watchedNode, msg.Some[uint64](7))
			r.want("list 0 from 7 at watched")
			r.lose(0)
			r.pass(8 * time.Second)
			r.skip()
			r.ack(0)
			r.want("catching up", "list 0")
		}},
		{name: "at another node the list begins again", script: func(r *rig) {
			r.cutShort()
			r.lose(0)
			r.pass(8 * time.Second)
			r.skip()
			r.ackAt(0, otherNode)
			r.want("catching up", "list 0")
		}},
		{name: "a list whose page fails while the watch is down begins again when it stands", options: following, script: func(r *rig) {
			r.cutShort()
			r.lose(0)
			r.listFails(engine.Deposed)
			r.pass(8 * time.Second)
			r.skip()
			r.ack(0)
			r.want("catching up", "list 0")
			r.listAt(watchedNode, msg.None[uint64]())
			r.want("caught up", "live")
		}},
		{name: "a page of before the loss does not end what the next watch tells of", script: func(r *rig) {
			// The page was computed before the write that continued b was applied.
			r.stored[b] = at(0, in("x", 3))
			r.cutShort()
			r.lose(0)
			r.pass(8 * time.Second)
			r.ack(0)
			r.skip()
			r.frame(wrote(b, 4, 4))
			r.want("read b 3-11")
			r.page(b, in("x", 3), in("x", 4))
			r.want("b 0.4")
			r.list(0, listedDeleted(b))
			r.want("read b 4-12", "list 0")
		}},
		{name: "a start from now lists anew", options: func(o *engine.Options) { o.FromNow = true }, script: func(r *rig) {
			r.subscribe(1)
			for range 3 {
				r.listAt(watchedNode, msg.Some[uint64](7))
				r.lostAndBack()
			}
			r.lose(0)
			r.pass(8 * time.Second)
			r.skip()
			r.ack(0)
			r.want("catching up", "list 0")
		}},
	})
}
