package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// follow changes the scope to these aggregates, watched by so many links.
func (r *rig) follow(parts int, keys ...msg.Key) {
	r.e.Rescope(r.now, func(key msg.Key) bool { return slices.Contains(keys, key) }, nil, parts)
	r.collect()
}

func onlyA(o *engine.Options) { o.Contains = func(key msg.Key) bool { return key == a } }

func TestRescope(t *testing.T) {
	check(t, []rule{
		{name: "the old watch hears what stays until the new one is acknowledged", options: onlyA, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.follow(1, a, b)
			r.want("open 0/0 epoch 2", "catching up")
			r.e.Frame(r.now, link(0), 1, []msg.Notification{wrote(a, 4, 4), wrote(b, 1, 1)})
			r.collect()
			r.want("read a 3-11", "read b 1-8")
			r.ack(0)
			r.want("close 0/0 epoch 1", "list 0")
			r.page(a, in("x", 3), in("x", 4))
			r.page(b, in("x", 1))
			r.want("a 0.4", "b 0.1")
			r.list(0, listed(a, in("x", 4)), listed(b, in("x", 1)))
			r.want("caught up", "live")
		}},
		{name: "what is new in it is found by the list", options: onlyA, script: func(r *rig) {
			r.live(1)
			r.follow(1, a, b)
			r.ack(0)
			r.skip()
			r.list(0, listed(b, in("x", 2)), listed(c, in("x", 2)))
			r.want("read b 1-8")
			r.page(b, run("x", 1, 2)...)
			r.want("b 0.1, b 0.2", "caught up", "live")
		}},
		{name: "a watch that cannot be opened takes the old one with it", options: onlyA, script: func(r *rig) {
			r.live(1)
			r.follow(1, a, b)
			r.want("open 0/0 epoch 2", "catching up")
			r.lose(0)
			r.want("close 0/0 epoch 1", "reconnecting: test")
			r.pass(time.Second)
			r.want("open 0/0 epoch 3")
			r.ack(0)
			r.want("catching up", "list 0")
		}},
		{name: "the old watch lost meanwhile", options: onlyA, script: func(r *rig) {
			r.live(1)
			r.follow(1, a, b)
			r.skip()
			r.e.Lost(r.now, link(0), 1, engine.Failure{Err: errTest})
			r.collect()
			r.want("close 0/0 epoch 2", "reconnecting: test")
			r.pass(time.Second)
			r.want("open 0/0 epoch 3")
		}},
		{name: "a watch being opened is opened with the new filter", options: onlyA, script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.follow(1, b)
			r.want("connecting", "discover", "open 0/0 epoch 1", "close 0/0 epoch 1", "open 0/0 epoch 2")
			r.e.Acked(r.now, link(0), 1, watchedNode) // too late
			r.collect()
			r.want()
			r.ack(0)
			r.want("catching up", "list 0")
		}},
		{name: "changed again before the first change was acknowledged", options: onlyA, script: func(r *rig) {
			r.live(1)
			r.follow(1, b)
			r.follow(1, c)
			r.want("open 0/0 epoch 2", "catching up", "close 0/0 epoch 2", "open 0/0 epoch 3")
			r.ack(0)
			r.want("close 0/0 epoch 1", "list 0")
		}},
		{name: "more links", options: onlyA, script: func(r *rig) {
			r.live(1)
			r.follow(2, a, b)
			r.want("open 0/0 epoch 2", "open 0/1 epoch 1", "catching up")
			r.ack(0)
			r.want("close 0/0 epoch 1")
			r.e.Acked(r.now, engine.Link{Part: 1}, 1, watchedNode)
			r.collect()
			r.want("list 0")
		}},
		{name: "fewer links", options: func(o *engine.Options) { o.Parts = 2 }, script: func(r *rig) {
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.ack(0)
			r.e.Acked(r.now, engine.Link{Part: 1}, 1, watchedNode)
			r.collect()
			r.list(0)
			r.skip()
			r.follow(1, a)
			r.want("open 0/0 epoch 2", "close 0/1 epoch 1", "catching up")
			r.e.Frame(r.now, engine.Link{Part: 1}, 1, []msg.Notification{wrote(a, 1, 1)})
			r.e.Lost(r.now, engine.Link{Part: 1}, 1, engine.Failure{Err: errTest})
			r.collect()
			r.want()
		}},
		{name: "nothing is followed", script: func(r *rig) {
			r.live(1)
			r.follow(0)
			r.want("close 0/0 epoch 1", "catching up", "caught up", "live")
			r.pass(time.Hour)
			r.want()
			r.follow(1, a)
			r.want("open 0/0 epoch 2", "catching up")
		}},
		{name: "what left is forgotten, whatever it was at", options: func(o *engine.Options) { o.Readers = 1 }, script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.frame(wrote(a, 1, 1))
			r.load()
			r.frame(wrote(b, 1, 1))
			r.load()
			r.frame(wrote(c, 1, 1))
			r.want("load a", "read a 1-16", "load b", "load c")
			r.follow(1, d)
			if n := r.e.Lanes(); n != 0 {
				t.Errorf("%d lanes are left", n)
			}
			r.page(a, in("x", 1))
			r.load()
			r.ack(0)
			r.want("open 0/0 epoch 2", "catching up", "close 0/0 epoch 1", "list 0")
			r.list(0)
			r.want("caught up", "live")
			if s := r.e.Stats(r.now); s.Dirty != 0 || s.Buffered != 0 {
				t.Errorf("%+v", s)
			}
			r.frame(wrote(d, 1, 1))
			r.load()
			r.want("load d", "read d 1-16")
		}},
		{name: "a shard that is away catches up with the rest", options: onlyA, script: func(r *rig) {
			r.live(2)
			r.lose(1)
			r.skip()
			r.follow(1, b)
			r.want("open 0/0 epoch 2")
			r.ack(0)
			r.list(0, listed(b, in("x", 1)))
			r.page(b, in("x", 1))
			r.want("close 0/0 epoch 1", "list 0", "read b 1-8", "b 0.1")
			r.pass(time.Second)
			r.ack(1)
			r.list(1)
			r.want("open 1/0 epoch 2", "catching up", "list 1", "caught up", "live")
		}},
		{name: "from now, what is added begins now and what was there goes on", options: func(o *engine.Options) {
			onlyA(o)
			o.FromNow = true
		}, script: func(r *rig) {
			fromNow(r)
			r.list(0)
			r.begun(a)
			r.skip()
			r.follow(1, a, b)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("x", 2)), listed(b, in("x", 2)))
			r.want("read a 1-8", "read b 2-2")
			r.page(b, in("x", 2))
			r.want("adopt b 0.2")
		}},
		{name: "from now, what was added before and did not exist is new", options: func(o *engine.Options) {
			onlyA(o)
			o.FromNow = true
		}, script: func(r *rig) {
			fromNow(r)
			r.list(0)
			r.begun(a)
			for epoch, keys := range [][]msg.Key{{a, b}, {a, b, c}} {
				r.follow(1, keys...)
				r.ack(0)
				r.skip()
				if epoch == 0 {
					r.list(0)
					r.begun(a, b)
					r.skip()
				}
			}
			r.list(0, listed(b, in("x", 2)), listed(c, in("x", 2)))
			r.want("read b 1-8", "read c 2-2")
		}},
	})
}
