package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

func TestBounds(t *testing.T) {
	check(t, []rule{
		{name: "a list page is looked up in parts, and waits while lanes have enough to do", options: func(o *engine.Options) { o.MaxLanes = 32 << 10 }, script: func(r *rig) {
			r.subscribe(1)
			var items []msg.AggregateItem
			for n := range 9000 {
				items = append(items, listed(keyNumber(n), in("x", 1)))
			}
			r.byHand = true
			r.list(0, items...)
			for len(r.loads) > 0 {
				if n := len(r.loads[0].Keys); n > 512 {
					r.t.Fatalf("a look-up of %d cursors", n)
				}
				r.load()
			}
			if n := r.e.Lanes(); n > 4096+512 {
				r.t.Errorf("%d lanes of one page", n)
			}
			for key := range r.reads {
				r.page(key, in("x", 1))
				r.commit()
				for len(r.loads) > 0 {
					r.load()
				}
			}
			if n := r.e.Lanes(); n < 4000 {
				r.t.Errorf("the page did not go on: %d lanes", n)
			}
		}},
		{name: "what is delivered and not committed is bounded in aggregates, and the state says so", options: func(o *engine.Options) { o.MaxUncommitted = 2 }, script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1), wrote(c, 1, 1))
			r.page(a, in("x", 1))
			r.page(b, in("x", 1))
			r.want("read a 1-8", "read b 1-8", "a 0.1", "read c 1-8", "b 0.1")
			r.page(c, in("x", 1)) // was under way
			r.want("c 0.1")
			r.frame(wrote(d, 1, 1))
			r.want("live: " + engine.ErrUncommitted.Error())
			r.e.Consumed(r.now, r.bytes)
			r.bytes = 0
			r.collect()
			r.want()
			r.commit()
			r.want("read d 1-8", "live")
			r.page(d, in("x", 1))
			r.want("d 0.1")
		}},
		{name: "an aggregate that is held, or left, waits for no commit", options: func(o *engine.Options) { o.MaxUncommitted = 1 }, script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			r.page(a, in("x", 1))
			r.frame(wrote(b, 1, 1))
			r.want("read a 1-8", "a 0.1", "live: "+engine.ErrUncommitted.Error())
			r.e.Hold(r.now, []msg.Key{a})
			r.collect()
			r.want("read b 1-8", "live")
		}},
		{name: "a list that names itself as the next page waits, and says so", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			told := 0
			for range 200 {
				for range r.shown {
					told++
				}
				r.skip()
				r.listMore(0, 7)
				r.pass(20 * time.Millisecond)
			}
			if s := r.e.Stats(r.now); s.Lists > 20 {
				r.t.Errorf("%d pages asked for in 4 s", s.Lists)
			}
		}},
		{name: "list pages that show nothing for ever wait, too", script: func(r *rig) {
			r.subscribe(1)
			for n := range uint64(9) {
				r.listMore(0, n+1)
			}
			if last := r.shown[len(r.shown)-1]; last != "catching up: "+engine.ErrListStuck.Error() {
				r.t.Errorf("the last of %q", r.shown)
			}
			r.skip()
			r.pass(time.Second - time.Millisecond)
			r.want()
			r.pass(time.Millisecond)
			r.want("list 0 from 9")
		}},
		{name: "a claim of too many shards is not believed, and asked for again", options: func(o *engine.Options) { o.MaxShards = 4 }, script: func(r *rig) {
			r.e.Start(r.now)
			r.collect()
			r.skip()
			r.e.ShardsKnown(r.now, 5)
			r.collect()
			r.want("connecting: a node claims 5 shards: want 1 to 4")
			r.pass(time.Second)
			r.want("discover")
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.want("open 0/0 epoch 1")
		}},
		{name: "so many links are opened at once", script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 200)
			r.collect()
			if n := len(r.shown); n != 2+64 {
				r.t.Fatalf("%d commands", n)
			}
			r.skip()
			r.ack(0)
			if len(r.shown) != 2 {
				r.t.Errorf("then %q", r.shown)
			}
		}},
		{name: "a floor that no cursor can hold is not believed", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.skip()
			r.below(a, ^uint64(0))
			r.want()
			r.pass(time.Second)
			r.want("read a 3-11")
		}},
		{name: "a floor that is not above what was asked for is not believed", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.skip()
			r.below(a, 3)
			r.want()
		}},
		{name: "a version that no cursor can hold is not believed", script: func(r *rig) {
			r.live(1)
			r.frame(msg.Notification{Key: a, Operation: msg.OpWrite})
			r.page(a, in("x", 1))
			r.want("read a 1-8", "a 0.1", "read a 1-")
			r.page(a, in("x", 1), in("x", 1<<63))
			r.want("read a 1-1")
			r.page(a, in("x", 1))
			r.page(a, in("x", 1<<63))
			if s := r.e.Stats(r.now); s.Batches > 1 || s.Untrusted == 0 {
				r.t.Errorf("%+v after %q", s, r.shown)
			}
		}},
		{name: "a page behind the cursor whose next version does not advance is not believed", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 9))
			r.pageNext(a, 4, in("x", 3))
			r.want("read a 3-11", "read a 4-4")
			r.pageNext(a, 4)
			r.want()
			r.pass(time.Second)
			r.want("read a 3-4")
		}},
		{name: "an empty page that names a further one is asked for again later", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.skip()
			r.pageNext(a, 9)
			r.want()
			r.pass(time.Second)
			r.want("read a 3-11")
		}},
		{name: "changes without a batch count against the buffer", options: func(o *engine.Options) { o.Readers, o.Buffer = 1, 1024 }, script: func(r *rig) {
			keys := []msg.Key{keyNumber(0), keyNumber(1), keyNumber(2), keyNumber(3), keyNumber(4), keyNumber(5), keyNumber(6), keyNumber(7)}
			var items []msg.AggregateItem
			for _, key := range keys {
				r.stored[key] = at(0, in("x", 3))
				items = append(items, listedDeleted(key))
			}
			r.subscribe(1)
			r.list(0, items...)
			if n := len(r.delivered); n > 4 {
				r.t.Errorf("%d deletes are ahead of the consumer in 1 KiB", n)
			}
			r.commit()
			r.commit()
			r.commit()
			if n := len(r.stored); n != len(keys) || r.e.Lanes() != 0 {
				r.t.Errorf("%d lanes are left", r.e.Lanes())
			}
		}},
		{name: "CaughtUp comes while an aggregate that no list shows never rests", options: func(o *engine.Options) { o.Explicit = []msg.Key{a} }, script: func(r *rig) {
			r.subscribe(1)
			r.list(0)
			r.frame(created(a), wrote(a, 1, 1))
			r.frame(wrote(a, 2, 2))
			r.skip()
			r.page(a, in("x", 1))
			r.frame(wrote(a, 3, 3))
			r.page(a, run("x", 1, 2)...)
			r.want("a 0.1", "read a 1-", "a 0.2", "read a 2-10", "caught up", "live")
		}},
	})
}
