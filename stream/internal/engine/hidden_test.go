package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

func (r *rig) leaderHidden() {
	r.e.LeaderHidden(r.now)
	r.collect()
}

// laggingSoon bounds the lag of a node that is watched while no node tells who leads.
func laggingSoon(o *engine.Options) {
	probing(o)
	o.MaxLag = 5 * time.Second
}

// Where no node tells whether it leads, any that is watched may lag.
//
//covers:demotion
func TestLeaderHidden(t *testing.T) {
	check(t, []rule{
		{name: "what is new is looked for at each interval", options: probing, script: func(r *rig) {
			r.live(1)
			r.leaderHidden()
			r.pass(2 * time.Second)
			r.want("does watched lead", "list 0")
			r.list(0, listed(a, in("x", 1)))
			r.page(a, in("x", 1))
			r.want("read a 1-8", "a 0.1")
		}},
		{name: "nothing is while the leader tells", options: probing, script: func(r *rig) {
			r.live(1)
			r.leaderHidden()
			r.says(watchedNode, true)
			r.skip()
			r.pass(4 * time.Second)
			r.want("does watched lead", "does watched lead")
		}},
		{name: "CaughtUp does not wait for who leads", options: probing, script: func(r *rig) {
			r.live(2)
			r.lose(1)
			r.pass(time.Second)
			r.skip()
			r.ackAt(1, otherNode)
			r.want("catching up", "list 1")
			r.leaderHidden()
			r.list(1)
			r.want("caught up", "live")
		}},
		{name: "nor for one of a watch to come", options: probing, script: func(r *rig) {
			r.live(2)
			r.leaderHidden()
			r.lose(1)
			r.pass(time.Second)
			r.skip()
			r.ackAt(1, otherNode)
			r.list(1)
			r.want("catching up", "list 1", "caught up", "live")
		}},
		{name: "but it does once the leader tells again", options: probing, script: func(r *rig) {
			r.live(2)
			r.leaderHidden()
			r.says(watchedNode, true)
			r.lose(1)
			r.pass(time.Second)
			r.skip()
			r.ackAt(1, otherNode)
			r.list(1)
			r.want("catching up", "list 1")
		}},
		{name: "a node that lags too far is left for any other", options: laggingSoon, script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.leaderHidden()
			laggingFrom(r)
			r.probes()
			r.want("look for a 4 at watched", "list 0")
			r.looked()
			r.want("open 0/0 epoch 2 at a follower")
		}},
	})
}
