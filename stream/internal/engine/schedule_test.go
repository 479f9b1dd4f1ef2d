package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

func TestSchedule(t *testing.T) {
	check(t, []rule{
		{name: "reads are issued first in, first out, so many at a time", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(c, 1, 1), wrote(a, 1, 1), wrote(d, 1, 1), wrote(b, 1, 1))
			r.want("read c 1-8", "read a 1-8")
			r.page(a, in("x", 1))
			r.want("a 0.1", "read d 1-8")
			r.page(c, in("x", 1))
			r.want("c 0.1", "read b 1-8")
		}},
		{name: "one read of an aggregate at a time", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			r.want("read a 1-8")
			r.frame(wrote(a, 2, 2))
			r.frame(wrote(a, 3, 3))
			r.want()
			r.page(a, in("x", 1))
			r.want("a 0.1", "read a 1-9")
		}},
		{name: "what was heard during a read that shows it is not read again", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			r.want("read a 1-8")
			r.frame(wrote(a, 2, 2))
			r.page(a, run("x", 1, 2)...)
			r.want("a 0.1, a 0.2")
		}},
		{name: "reads stop while the consumer is behind", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 99), wrote(b, 1, 99))
			r.want("read a 1-8", "read b 1-8")
			r.page(a, run("x", 1, 8)...)
			r.page(b, run("x", 1, 8)...)
			r.skip()
			r.page(a, run("x", 8, 16)...)
			r.page(b, run("x", 8, 16)...)
			if len(r.shown) != 2 || r.bytes != 32<<10 {
				r.t.Fatalf("asked for %q with %d bytes not consumed", r.shown, r.bytes)
			}
			r.skip()
			r.commit()
			r.want("read a 16-24", "read b 16-24")
		}},
		{name: "a batch larger than the buffer is read all the same", options: func(o *engine.Options) { o.Buffer = 512 }, script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1))
			r.want("read a 1-1", "read b 1-1")
			r.page(a, in("x", 1))
			r.page(b, in("x", 1))
			r.want("a 0.1", "b 0.1")
			r.frame(wrote(a, 2, 2))
			r.want()
			r.commit()
			r.want("read a 1-2")
		}},
		{name: "lanes queued between two reads hold no bytes", options: func(o *engine.Options) { o.Readers, o.Buffer = 1, 4096 }, script: func(r *rig) {
			r.stored[a], r.stored[b] = at(0, in("x", 1)), at(0, in("x", 1))
			r.live(1)
			r.frame(wrote(a, 4, 4), wrote(b, 4, 4))
			for range 2 {
				r.want("read a 1-3")
				r.pageNext(a, 2, in("x", 1))
				r.want("read a 1-1")
				r.page(a, in("x", 1))
				r.want("read b 1-3")
				r.pageNext(b, 2, in("x", 1))
				r.want("read b 1-1")
				r.page(b, in("x", 1))
				r.want("read a 2-3")
				return
			}
		}},
		{name: "a node that cannot be asked pauses all reads", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1), wrote(b, 1, 1), wrote(c, 1, 1))
			r.want("read a 1-8", "read b 1-8")
			r.fail(a, engine.Unavailable)
			r.fail(b, engine.Unavailable)
			r.want()
			r.pass(time.Second - time.Millisecond)
			r.want()
			r.pass(time.Millisecond)
			r.want("read c 1-8", "read a 1-8")
		}},
		{name: "a lane rests once its cursor is stored, and is forgotten", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			r.page(a, in("x", 1))
			if n := r.e.Lanes(); n != 1 {
				r.t.Errorf("%d lanes before the commit, not 1", n)
			}
			r.commit()
			if n := r.e.Lanes(); n != 0 {
				r.t.Errorf("%d lanes after the commit, not 0", n)
			}
		}},
		{name: "a cursor stored late does not take newer hints along", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			r.page(a, in("x", 1))
			r.frame(wrote(a, 2, 2))
			r.commit()
			r.skip()
			r.page(a, run("x", 1, 2)...)
			r.want("a 0.2")
		}},
		{name: "cursors are looked up many at a time, one look-up under way", options: func(o *engine.Options) { o.MaxLanes = 2000 }, script: func(r *rig) {
			r.live(1)
			r.byHand = true
			var frame []msg.Notification
			for i := range 1100 {
				frame = append(frame, wrote(keyNumber(i), 1, 1))
			}
			r.frame(frame[:1]...)
			r.frame(frame[1:]...)
			for _, want := range []int{1, 512, 512, 75} {
				if len(r.loads) != 1 || len(r.loads[0].Keys) != want {
					r.t.Fatalf("%d look-ups, the first of %d keys; not 1 of %d", len(r.loads), len(r.loads[0].Keys), want)
				}
				r.load()
			}
		}},
		{name: "a notification that means nothing is passed over", script: func(r *rig) {
			r.live(1)
			r.frame(msg.Notification{Key: a, Operation: msg.OpRead}, msg.Notification{Key: a, Operation: 77})
			r.want()
		}},
	})
}

func TestStats(t *testing.T) {
	r := newRig(t)
	r.live(2)
	r.frame(wrote(a, 1, 1))
	r.page(a, run("x", 1, 2)...)
	r.frame(wrote(b, 1, 1))
	r.lose(1)
	got := r.e.Stats(r.now)
	want := engine.Stats{Shards: 2, Subscribed: 1, Dirty: 1, Buffered: 2048, Reconnects: 1, Notifications: 2, Reads: 2, Lists: 2, Batches: 2, Behind: 1}
	if got != want {
		t.Errorf("\n%+v, not\n%+v", got, want)
	}
}

func TestStatsOfAReconcile(t *testing.T) {
	r := newRig(t)
	r.stored[a] = at(0, in("x", 1))
	r.subscribe(2)
	r.listMore(0, 7, listed(a, in("x", 4)), listed(b, in("x", 2)))
	if s := r.e.Stats(r.now); s.Listing != 2 || s.Listed != 2 || s.Behind != 5 {
		t.Errorf("%+v", s)
	}
	r.list(0)
	r.list(1)
	r.page(a, run("x", 1, 4)...)
	r.page(b, run("x", 1, 2)...)
	if s := r.e.Stats(r.now); s.Listing != 0 || s.Listed != 0 || s.Behind != 0 {
		t.Errorf("%+v", s)
	}
}
