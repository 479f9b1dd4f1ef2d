package cluster

import (
	"slices"
	"time"
)

// leaderTrust is how long an answer that only a leader gives is believed. A
// leader that was deposed goes on serving reads, ever older ones, without a
// word; whoever only reads learns of it by asking again.
const leaderTrust = 5 * time.Second

// Leadership is what is known about whether a node leads; its values are those of
// package pool.
type Leadership uint8

// The leaderships.
const (
	LeadershipUnknown Leadership = iota
	Leading
	Following
)

// leadership is who leads, and when that was last confirmed.
type leadership struct {
	member *member
	at     time.Time
}

// leaderKnown returns the leader last confirmed, however long ago; nil for none.
func (c *Cluster) leaderKnown() *member {
	if l := c.leader.Load(); l != nil {
		return l.member
	}
	return nil
}

// LeaderKnown is its address, empty for none.
func (c *Cluster) LeaderKnown() string {
	if m := c.leaderKnown(); m != nil {
		return m.Address()
	}
	return ""
}

// leadershipOf is what is known of a member without asking.
func (c *Cluster) leadershipOf(m *member) Leadership {
	switch l := c.leader.Load(); {
	case l == nil || time.Since(l.at) >= leaderTrust:
		return LeadershipUnknown
	case l.member == m:
		return Leading
	}
	return Following
}

// leaderTrusted returns the leader if it was confirmed lately. Before that trust runs
// out the leader is asked again, in the background.
func (c *Cluster) leaderTrusted() *member {
	l := c.leader.Load()
	if l == nil {
		return nil
	}
	age := time.Since(l.at)
	if age >= leaderTrust {
		return nil
	}
	if age >= leaderTrust/2 {
		c.probeInBackground(l.member)
	}
	return l.member
}

// confirm notes that m has given an answer only a leader gives. A guest leads another
// cluster, for all that is known.
func (c *Cluster) confirm(m *member) {
	now := time.Now()
	if l := c.leader.Load(); l != nil && l.member == m && now.Sub(l.at) < leaderTrust/8 {
		return
	}
	if !slices.Contains(c.nodes(), m) {
		return
	}
	last := c.leader.Swap(&leadership{m, now})
	c.uncertain.Store(false)
	if c.config.Events.Leader == nil {
		return
	}
	switch {
	case last == nil:
		c.config.Events.Leader("", m.Address())
	case last.member != m:
		c.config.Events.Leader(last.member.Address(), m.Address())
	}
}

// doubt forgets m as the leader.
func (c *Cluster) doubt(m *member) {
	if l := c.leader.Load(); l != nil && l.member == m {
		c.leader.CompareAndSwap(l, nil)
	}
}

// suspect forgets m as the leader, and the order of the members as a guess at the
// next one: it has left a mutation unanswered.
func (c *Cluster) suspect(m *member) {
	c.doubt(m)
	c.uncertain.Store(true)
}

// leadsInstead reports whether another member was found to lead since m was doubted.
func (c *Cluster) leadsInstead(m *member) bool {
	leader := c.leaderKnown()
	return leader != nil && leader != m
}

// leadershipHidden reports whether no node told lately who leads.
func (c *Cluster) leadershipHidden() bool {
	at := c.hidden.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < leaderTrust
}
