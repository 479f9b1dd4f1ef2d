package celerianttest

import (
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/cluster"
)

// act does something to a node: before and after are done under mu, between
// them the node's own methods are called, which may wait for requests.
func (p *Pair) act(op string, n *Node, do func(who int) error) error {
	p.acting.Lock()
	defer p.acting.Unlock()
	who := -1
	for i := range p.nodes {
		if p.nodes[i] == n {
			who = i
		}
	}
	if who < 0 {
		return &PairError{op, "the node is none of this pair"}
	}
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return do(who)
}

// under runs a change of state and draws its conclusions.
func (p *Pair) under(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.settle()
}

// Kill takes a node down at once: its sockets drop, and what it stored is kept.
// If it led, the other node is promoted after Takeover. Killing a node that is
// down does nothing.
func (p *Pair) Kill(n *Node) error {
	return p.act("kill", n, func(who int) error {
		p.kill(who)
		return nil
	})
}

func (p *Pair) kill(who int) {
	p.under(func() {
		p.cluster.Kill(who)
		s := &p.states[who]
		s.waking.Stop()
		s.thawing.Stop()
		s.behind, s.repeats = false, false
	})
	p.nodes[who].Kill()
	p.nodes[who].Resume() // a new process is not stopped
}

// Restart kills a node, if it is up, and starts it again. The node serves what
// it had shown before at once, refuses changes without naming a leader, and
// follows after Rejoin; what happens to it besides is up to RestartSilence,
// RestartBehind, RestartRepeats and Quirks.
func (p *Pair) Restart(n *Node) error {
	return p.act("restart", n, func(who int) error {
		p.kill(who)
		p.mu.Lock()
		silence := p.meetAccidents(who)
		p.mu.Unlock()
		if silence > 0 {
			n.Pause()
		}
		if err := n.Restart(); err != nil {
			n.Resume()
			return err
		}
		p.under(func() {
			p.cluster.Members[who].Up = true
			if silence > 0 {
				p.states[who].waking.Set(silence)
			}
		})
		return nil
	})
}

// meetAccidents draws what a restart does to a node, and returns how long the
// node will be silent.
func (p *Pair) meetAccidents(who int) time.Duration {
	s := &p.states[who]
	silence := p.draw(p.opts.RestartSilence, longestSilence)
	if behind := p.draw(p.opts.RestartBehind, longestBehind); behind > 0 {
		s.behind = true
		s.thawing.Set(behind)
	}
	s.repeats = p.opts.RestartRepeats || p.draw(0, 1) > 0
	return silence
}

// draw returns how long an accident lasts: as long as was set, or by chance.
func (p *Pair) draw(set, longest time.Duration) time.Duration {
	if set > 0 || !p.opts.Quirks || p.opts.SteadyRestarts || p.chance.IntN(accidentOdds) > 0 {
		return set
	}
	return 1 + time.Duration(p.chance.Int64N(int64(longest)))
}

// Pause stops a node like a stopped process: its sockets take requests and
// stay silent. A leader paused for Takeover is replaced and knows nothing of
// it. A follower that is paused gets no batches; the leader goes on without.
func (p *Pair) Pause(n *Node) error {
	return p.act("pause", n, func(who int) error {
		if !p.up(who) {
			return &PairError{"pause", fmt.Sprintf("node %s is down", cluster.NodeName(who))}
		}
		n.Pause()
		p.under(func() {
			p.states[who].waking.Stop()
			p.cluster.Members[who].Paused = true
			p.cluster.StopFollowing(who)
		})
		return nil
	})
}

// Resume ends a pause, and the silence after a restart. Requests that wait on
// the node's sockets are answered from what it knew; a leader that was replaced
// refuses changes, names the new one within Rejoin, follows it, and its
// watches hear what they missed.
func (p *Pair) Resume(n *Node) error {
	return p.act("resume", n, func(who int) error {
		p.under(func() {
			p.states[who].waking.Stop()
			p.cluster.Members[who].Paused = false
		})
		n.Resume()
		return nil
	})
}

func (p *Pair) up(who int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cluster.Members[who].Up
}

// Fence makes a node give up its part: a leader refuses changes, without
// naming anybody, and fails those under way with error 2007 or its like until
// one of the nodes takes over after Takeover; a follower stops following.
// Both rejoin by themselves.
func (p *Pair) Fence(n *Node) error {
	return p.act("fence", n, func(who int) error {
		p.under(func() {
			p.cluster.StopFollowing(who)
			p.cluster.Members[who].Aware = false
			if p.cluster.Leader == who {
				p.cluster.Leading = false
			}
		})
		return nil
	})
}

// FailOver makes the other node the leader, without waiting for Takeover, and
// returns when it accepts changes. FailOver fails when that node does not work.
func (p *Pair) FailOver() error {
	p.acting.Lock()
	defer p.acting.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	next := 1 - p.cluster.Leader
	if !p.cluster.Works(next) {
		return &PairError{"fail over", fmt.Sprintf("node %s is %s", cluster.NodeName(next), p.cluster.Describe(next))}
	}
	p.promote(next)
	return nil
}

// CutLink separates the nodes: the follower gets nothing more, and does not
// take over as long as the leader works. The leader goes on with the object
// store, or, with NoFallback, lets changes wait.
func (p *Pair) CutLink() {
	p.under(func() {
		p.cluster.Cut = true
		p.cluster.StopFollowing(1 - p.cluster.Leader)
	})
}

// RestoreLink joins them again; the follower follows after Rejoin.
func (p *Pair) RestoreLink() { p.under(func() { p.cluster.Cut = false }) }

// SetLag changes how long the follower shows less than the leader when no
// further batch comes; 0 makes both show the same.
func (p *Pair) SetLag(lag time.Duration) {
	p.under(func() {
		p.lag = max(lag, 0)
		for _, c := range p.carriers {
			c.Stop()
		}
	})
}

// FreezeLag keeps the follower from hearing of any commit: it stores batches
// and shows nothing new until ThawLag or its promotion.
func (p *Pair) FreezeLag() { p.under(func() { p.frozen = true }) }

// ThawLag ends FreezeLag.
func (p *Pair) ThawLag() { p.under(func() { p.frozen = false }) }

// HoldAcks keeps the leader from hearing that the follower stored a batch:
// changes are with both nodes and neither shown nor answered, after 30 s with
// an unknown outcome. A promotion commits them, and so does ReleaseAcks, also
// those that were given up.
func (p *Pair) HoldAcks() { p.under(func() { p.held = true }) }

// ReleaseAcks ends HoldAcks.
func (p *Pair) ReleaseAcks() { p.under(func() { p.held = false }) }

// SetHint changes what nodes that do not lead tell about the leader.
func (p *Pair) SetHint(h Hint) { p.under(func() { p.cluster.Hint = string(h) }) }
