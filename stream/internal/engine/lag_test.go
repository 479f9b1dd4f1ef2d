package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

//covers:followers
func TestLag(t *testing.T) {
	led(t, []rule{
		{name: "begins when the leader told of what the follower does not show", script: func(r *rig) {
			lagging(r)
			if lag := r.lag(); lag != 3*time.Second {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "or when it does not show what was delivered", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(created(a))
			r.absent(a)
			r.now = r.now.Add(time.Second)
			if lag := r.lag(); lag != time.Second {
				r.t.Errorf("a lag of %v", lag)
			}
			r.skip()
			r.page(a, in("x", 3))
			r.probes()
			r.want("read a 3-11", "look for a 3 at watched", "list 0")
		}},
		{name: "or when it was the leader alone that was asked", script: func(r *rig) {
			r.stored[a] = gone(at(0, in("x", 3)))
			r.live(1)
			r.probes()
			r.list(0, listed(a, in("x", 4)))
			r.want("list 0", "read a 3-11 at the leader")
			r.now = r.now.Add(3 * time.Second)
			r.page(a, run("x", 3, 4)...)
			r.want("read a 1-8 at the leader")
			r.page(a, run("x", 1, 4)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4")
			if lag := r.lag(); lag != 3*time.Second {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "ends when the follower shows it", script: func(r *rig) {
			lagging(r)
			r.probes()
			r.want("look for a 4 at watched", "list 0")
			r.looked(in("x", 4))
			if lag := r.lag(); lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
			r.list(0)
			r.skip()
			r.probes()
			r.want("list 0")
		}},
		{name: "or has trimmed it away", script: func(r *rig) {
			lagging(r)
			r.probes()
			r.lookFailed(engine.BelowFloor)
			if lag := r.lag(); lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "or has it, too large for this client", script: func(r *rig) {
			lagging(r)
			r.probes()
			r.lookFailed(engine.TooLarge)
			if lag := r.lag(); lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "not when it is absent or the node cannot be asked", script: func(r *rig) {
			for _, kind := range []engine.FailureKind{engine.NotFound, engine.Unavailable, engine.Silent} {
				r := newRig(r.t, following, func(o *engine.Options) { o.MaxLag = time.Hour })
				lagging(r)
				r.probes()
				r.lookFailed(kind)
				if lag := r.lag(); lag != 5*time.Second {
					r.t.Errorf("a lag of %v after failure %d", lag, kind)
				}
			}
		}},
		{name: "what the leader has is looked for, not what was heard of", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 9)) // of two lives, merged
			r.elsewhere(a, run("x", 3, 5)...)
			r.page(a, in("x", 5))
			r.skip()
			r.probes()
			r.want("read a 5-13", "look for a 5 at watched", "list 0")
		}},
		{name: "what the leader has not is looked for nowhere", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(deleted(a))
			r.absent(a)
			r.fail(a, engine.NotFound)
			r.skip()
			if lag := r.e.Stats(r.now.Add(time.Second)).Lag; lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
			r.frame(created(b))
			r.absent(b)
			r.fail(b, engine.NotFound)
			if lag := r.e.Stats(r.now.Add(time.Second)).Lag; lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "of one aggregate is not ended by the leader's word on another", script: func(r *rig) {
			lagging(r)
			r.frame(deleted(b))
			r.absent(b)
			r.fail(b, engine.NotFound)
			if lag := r.lag(); lag != 3*time.Second {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "begins with the first, and does not begin anew", script: func(r *rig) {
			lagging(r)
			r.stored[b] = at(0, in("x", 3))
			r.frame(created(b))
			r.now = r.now.Add(time.Second)
			r.elsewhere(b)
			if lag := r.lag(); lag != 4*time.Second {
				r.t.Errorf("a lag of %v", lag)
			}
			r.skip()
			r.page(b, in("x", 3))
			r.probes()
			if !slices.Contains(r.shown, "look for a 4 at watched") {
				r.t.Errorf("asked for %q", r.shown)
			}
		}},
		{name: "one look at a time", script: func(r *rig) {
			lagging(r)
			r.probes()
			r.skip()
			r.list(0)
			r.probes()
			r.want("list 0")
		}},
		{name: "nodes that lead have none", script: func(r *rig) {
			lagging(r)
			r.says(watchedNode, true)
			if lag := r.lag(); lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "nor has a subscription without followers", options: func(o *engine.Options) { o.Followers = false }, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(created(a))
			r.absent(a)
			if lag := r.e.Stats(r.now.Add(time.Second)).Lag; lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "a lost watch ends it", script: func(r *rig) {
			lagging(r)
			r.lose(0)
			if lag := r.lag(); lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
	})
}

//covers:g10
func TestLaggards(t *testing.T) {
	// late is a shard whose follower has just been found to lag too far.
	late := func(r *rig) {
		lagging(r)
		r.probes()
		r.skip()
		r.looked()
		r.want("open 0/0 epoch 2")
	}
	led(t, []rule{
		{name: "are left for the leader", script: func(r *rig) {
			late(r)
			r.ackAt(0, leaderNode)
			r.want("close 0/0 epoch 1", "list 0")
			if lag := r.lag(); lag != 0 {
				r.t.Errorf("a lag of %v", lag)
			}
		}},
		{name: "not before the bound", options: func(o *engine.Options) { o.MaxLag = 5*time.Second + 1 }, script: func(r *rig) {
			lagging(r)
			r.probes()
			r.skip()
			r.looked()
			r.want()
		}},
		{name: "never without a bound", options: func(o *engine.Options) { o.MaxLag = 0 }, script: func(r *rig) {
			lagging(r)
			r.pass(time.Hour)
			r.skip()
			r.looked()
			r.want()
		}},
		{name: "also when they cannot be asked", script: func(r *rig) {
			lagging(r)
			r.probes()
			r.skip()
			r.lookFailed(engine.Unavailable)
			r.want("open 0/0 epoch 2")
		}},
		{name: "as long as the leader cannot be watched they are kept, and it is tried again", script: func(r *rig) {
			late(r)
			r.lose(0)
			r.want()
			r.old(wrote(b, 1, 1))
			r.want("read b 1-8")
			r.elsewhere(b, in("x", 1))
			r.skip()
			r.probes()
			r.want("look for a 4 at watched") // the peek goes on
			r.looked()
			r.want("open 0/0 epoch 3")
		}},
		{name: "a follower is tried again half a minute later", script: func(r *rig) {
			late(r)
			r.ackAt(0, leaderNode)
			r.list(0)
			r.says(leaderNode, true)
			r.skip()
			for range 14 {
				r.probes()
				r.says(leaderNode, true)
				r.want()
			}
			r.probes()
			r.says(leaderNode, true)
			r.want("open 0/0 epoch 3 at a follower")
			r.ackAt(0, watchedNode)
			r.want("close 0/0 epoch 2", "list 0")
		}},
		{name: "nor is one asked for before, should the leader be lost", script: func(r *rig) {
			late(r)
			r.ackAt(0, leaderNode)
			r.lose(0)
			r.pass(time.Second)
			if got := r.shown[len(r.shown)-1]; got != "open 0/0 epoch 3" {
				r.t.Errorf("asked for %q", got)
			}
		}},
		{name: "all watches of the shard are moved", options: parts(2), script: func(r *rig) {
			second := engine.Link{Part: 1}
			r.stored[a] = at(0, in("x", 3))
			r.e.Start(r.now)
			r.e.ShardsKnown(r.now, 1)
			r.collect()
			r.ack(0)
			r.e.Acked(r.now, second, 1, watchedNode)
			r.collect()
			r.list(0)
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.elsewhere(a, in("x", 3))
			r.page(a, run("x", 3, 4)...)
			r.skip()
			for range 3 {
				r.now = r.now.Add(2 * time.Second)
				r.frame()
				r.e.Frame(r.now, second, 1, nil)
				r.e.Tick(r.now)
				r.collect()
				r.looked()
			}
			r.want("does watched lead", "look for a 4 at watched", "list 0", "does watched lead", "look for a 4 at watched",
				"does watched lead", "look for a 4 at watched", "open 0/0 epoch 2", "open 0/1 epoch 2")
			// Between the two nodes reads are at neither, and nothing is looked for.
			r.ackAt(0, leaderNode)
			r.skip()
			r.frame(wrote(a, 5, 5))
			if at := r.nodes[a]; at != "" {
				r.t.Errorf("read at %q", at)
			}
			r.e.Acked(r.now, second, 2, leaderNode)
			r.collect()
			r.page(a, run("x", 4, 5)...)
			r.want("read a 4-12", "close 0/1 epoch 1", "list 0", "a 0.5")
			if s := r.e.Stats(r.now); s.Moves != 2 || s.Reconnects != 0 {
				r.t.Errorf("%d moves, %d reconnects", s.Moves, s.Reconnects)
			}
		}},
		{name: "older pages of a follower make nothing undone", script: func(r *rig) {
			late(r)
			r.ackAt(0, leaderNode)
			r.list(0)
			r.skip()
			r.frame(wrote(a, 5, 5))
			r.want("read a 4-12 at leader")
			r.elsewhere(a, run("x", 4, 5)...)
			r.want("a 0.5")
			r.commit()
			r.pass(30 * time.Second)
			r.says(leaderNode, true)
			r.ackAt(0, watchedNode)
			r.skip()
			r.frame(wrote(a, 4, 4)) // the follower catches up
			r.want()
			r.list(0, listed(a, in("x", 6)))
			r.want("read a 5-13")
			r.elsewhere(a) // it is not there yet
			r.want("read a 5-13 at the leader")
			r.page(a, run("x", 5, 6)...)
			r.want("a 0.6")
			if got, want := r.delivered[len(r.delivered)-1].Cursor, at(0, in("x", 6)); got != want || (got == checkpoint.Cursor{}) {
				r.t.Errorf("stands at %v", got)
			}
		}},
	})
}

// Each move costs a list of the shard: a follower that never keeps up is tried less and
// less often.
func TestExiles(t *testing.T) {
	got := engine.Exiles(0, time.Second, time.Second, time.Second, time.Second, time.Second, 11*time.Minute, time.Second)
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 8 * time.Minute, 30 * time.Second, time.Minute}
	if !slices.Equal(got, want) {
		t.Errorf("left for %v, not for %v", got, want)
	}
}
