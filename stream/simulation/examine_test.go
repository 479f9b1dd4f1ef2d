package simulation_test

import (
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// state follows what the subscription says of itself.
func (c *consumer) state(p *process, s stream.State) {
	c.sim.log.add(p.who+" state", "%v", s.Phase)
	p.mu.Lock()
	defer p.mu.Unlock()
	acked := p.source.acknowledged()
	switch s.Phase {
	case stream.CatchingUp:
		if p.phase == stream.Live {
			// The scope has changed: what was acknowledged by now is in the list to come.
			for shard := range c.sim.set.Node.Shards {
				acked[uint64(shard)] = time.Now()
			}
		}
		if p.phase == stream.Live || len(p.catching) == 0 {
			p.catching = append(p.catching, acked)
		} else if p.phase != stream.CatchingUp {
			p.catching[len(p.catching)-1] = acked
		}
	case stream.Reconnecting:
		if p.phase == stream.Live {
			p.catching = append(p.catching, acked)
			c.sim.count("shards lost while live")
		}
	}
	p.phase = s.Phase
}

// caughtUp checks G7: what was acknowledged before the catching up began has
// been delivered.
func (c *consumer) caughtUp(p *process) {
	p.mu.Lock()
	n := p.caught
	p.caught++
	var by map[uint64]time.Time
	if n < len(p.catching) {
		by = p.catching[n]
	}
	p.mu.Unlock()
	if by == nil && c.roaming != nil {
		// Its last member went before it was connected: nothing was to be caught up with.
		p.mu.Lock()
		p.catching = append(p.catching, nil)
		p.mu.Unlock()
		return
	}
	if by == nil {
		c.sim.failf("%s: CaughtUp number %d without catching up", p.who, n+1)
		return
	}
	for key, f := range c.sim.truth.facts {
		shard := c.sim.shardOf(key)
		if !c.follows(key) || c.roaming != nil && c.roaming.joined[key].After(by[shard]) {
			continue
		}
		v := c.views[key]
		if problem := c.judge.behind(f, &v, by[c.sim.shardOf(key)]); problem != "" {
			c.sim.failf("%s: caught up with all until %v, but of %d %s (G7)", p.who, by[c.sim.shardOf(key)].Sub(c.sim.log.began), number(key), problem)
		}
	}
}

// stale checks G10: nobody is Live who has not heard of a watch for 15 s.
func (c *consumer) stale() {
	p := c.present()
	if p == nil {
		return
	}
	p.mu.Lock()
	live := p.phase == stream.Live
	p.mu.Unlock()
	if quiet := p.source.quiet(); live && quiet > 15*time.Second+100*time.Millisecond {
		c.sim.failf("%s is live, and has heard nothing of a watch for %v (G10)", p.who, quiet)
	}
}

// misplaced checks that a node that was deposed without a sign has been left: of
// its watches none is elsewhere than at the leader, unless a follower was asked for.
func (c *consumer) misplaced() {
	if c.sim.pair == nil || c.opts.Followers {
		return
	}
	leader := c.sim.pair.Leader()
	for _, node := range c.present().source.nodes() {
		if leader == nil || leader.Addr() != node {
			c.sim.failf("%s watches %s, which does not lead (G10)", c.present().who, node)
		}
	}
}

// differs says how the consumer differs from the truth.
func (c *consumer) differs() string {
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	if c.present() == nil || c.present().phaseNow() != stream.Live {
		return c.name + " is not live"
	}
	for _, key := range c.sim.keys {
		if !c.follows(key) {
			continue
		}
		v := c.views[key]
		if problem := c.judge.finally(key, &v); problem != "" {
			return fmt.Sprintf("%s: of %d %s", c.name, number(key), problem)
		}
	}
	return ""
}

func (p *process) phaseNow() stream.Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase
}

func (c *consumer) present() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
