package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// absentAtBoth has the leader asked for a, which the watched node does not show.
func absentAtBoth(r *rig) {
	r.stored[a], r.stored[b] = at(0, in("x", 3)), at(0, in("x", 3))
	r.live(1)
	r.frame(wrote(a, 4, 4))
	r.elsewhere(a, in("x", 3))
	r.skip()
	if !r.leader[a] {
		r.t.Fatal("the leader is not asked")
	}
}

func TestPace(t *testing.T) {
	check(t, []rule{
		{name: "an aggregate that is refused waits by itself", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			r.want("read a 1-8")
			r.fail(a, engine.Refused)
			r.frame(wrote(b, 1, 1))
			r.want("read b 1-8")
			r.pass(time.Second - time.Millisecond)
			r.want()
			r.pass(time.Millisecond)
			r.want("read a 1-8")
			r.fail(a, engine.Refused)
			r.pass(2*time.Second - time.Millisecond)
			r.want()
			r.pass(time.Millisecond)
			r.want("read a 1-8")
		}},
		{name: "also when the node can read nothing of it, however little is asked for", script: func(r *rig) {
			unreadable := func() {
				r.failWith(a, engine.Failure{Kind: engine.Silent, Answered: true, Err: errTest})
			}
			r.live(1)
			r.frame(wrote(a, 1, 1))
			for range 20 {
				if n := len(r.shown); n > 0 && r.shown[n-1] == "read a 1-0" {
					break
				}
				if _, ok := r.reads[a]; ok {
					unreadable()
				} else {
					r.pass(time.Second)
				}
			}
			r.skip()
			unreadable() // the probe
			r.frame(wrote(b, 1, 1))
			r.want("read b 1-8")
		}},
		{name: "a node that refuses everything is given a pause", options: func(o *engine.Options) { o.Readers = 32 }, script: func(r *rig) {
			r.live(1)
			for i := range 16 {
				r.frame(wrote(keyNumber(i), 1, 1))
			}
			for i := range 16 {
				r.fail(keyNumber(i), engine.Refused)
			}
			r.skip()
			r.frame(wrote(keyNumber(20), 1, 1))
			r.want()
			r.pass(time.Second)
			if len(r.shown) != 17 {
				r.t.Errorf("after the pause the engine asked for %q, not for all", r.shown)
			}
		}},
		{name: "not one that answers for others in between", options: func(o *engine.Options) { o.Readers = 32 }, script: func(r *rig) {
			r.live(1)
			for i := range 18 {
				r.frame(wrote(keyNumber(i), 1, 1))
			}
			for i := range 17 {
				if i == 9 {
					r.page(keyNumber(i), in("x", 1))
					continue
				}
				r.fail(keyNumber(i), engine.Refused)
			}
			r.skip()
			r.frame(wrote(keyNumber(20), 1, 1))
			r.want("read u 1-1")
		}},
		{name: "what waits for a leader goes on when it answers for another", script: func(r *rig) {
			absentAtBoth(r)
			for _, wait := range []time.Duration{1, 2, 4} {
				r.fail(a, engine.Unavailable)
				r.pass(wait * time.Second)
			}
			r.fail(a, engine.Unavailable)
			r.pass(2 * time.Second)
			r.skip()
			r.frame(wrote(b, 4, 4))
			r.want("read b 3-11")
			r.page(b, run("x", 3, 4)...) // as the leader
			r.want("b 0.4", "read a 3-11 at the leader")
		}},
		{name: "not when that is no leader", script: func(r *rig) {
			absentAtBoth(r)
			r.fail(a, engine.Unavailable)
			r.pass(time.Second)
			r.fail(a, engine.Unavailable)
			r.pass(time.Second)
			r.frame(wrote(b, 4, 4))
			r.skip()
			r.elsewhere(b, run("x", 3, 4)...)
			r.want("b 0.4")
		}},
		{name: "nor after a short while: an aggregate that only fails would be read without a pause", script: func(r *rig) {
			absentAtBoth(r)
			r.fail(a, engine.Unavailable)
			r.pass(time.Second - time.Millisecond)
			r.frame(wrote(b, 4, 4))
			r.skip()
			r.page(b, run("x", 3, 4)...)
			r.want("b 0.4")
		}},
		{name: "what waits goes on when a watch stands again", script: func(r *rig) {
			absentAtBoth(r)
			for _, wait := range []time.Duration{1, 2, 4} {
				r.fail(a, engine.Unavailable)
				r.pass(wait * time.Second)
			}
			r.fail(a, engine.Unavailable)
			r.lose(0)
			r.pass(time.Second, 0)
			r.skip()
			r.ack(0)
			r.want("catching up", "read a 3-11 at the leader", "list 0")
		}},
		{name: "so do lists", script: func(r *rig) {
			r.subscribe(2)
			r.skip()
			for _, wait := range []time.Duration{1, 2, 4} {
				for shard := range uint64(2) {
					r.e.ListFailed(r.now, shard, r.lists[shard], engine.Failure{Err: errTest})
					r.collect()
				}
				r.pass(wait * time.Second)
				r.want("list 0", "list 1")
			}
			r.frame(wrote(a, 1, 1))
			r.fail(a, engine.Unavailable)
			r.pass(time.Second)
			r.e.ListFailed(r.now, 0, r.lists[0], engine.Failure{Err: errTest})
			r.skip()
			r.page(a, in("x", 1))
			r.want("a 0.1", "list 0")
		}},
	})
}

func TestADoubtAsksTheNode(t *testing.T) {
	r := newRig(t)
	r.live(1)
	r.frame(wrote(a, 1, 2))
	if r.fresh[a] {
		t.Error("the first read of what was heard of asks for more than what others were given")
	}
	r.page(a, in("x", 1)) // does not show all of it
	r.pass(time.Second)
	if _, ok := r.reads[a]; !ok || !r.fresh[a] {
		t.Error("a read in doubt is content with what others were given")
	}
}
