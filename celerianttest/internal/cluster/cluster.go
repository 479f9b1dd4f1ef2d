package cluster

import "github.com/celeriant/celeriant-go/celerianttest/internal/replica"

// Cluster is what the two nodes of a pair are to each other. A Cluster decides
// and knows neither time nor data; Pair acts on it.
type Cluster struct {
	Members [2]member
	// Leader is the member that leads or, while nobody does, led last.
	Leader int
	// Leading tells whether it still does. A paused leader leads on until the
	// other one is promoted, like a stopped process that knows of nothing.
	Leading bool
	Term    uint64 // counts promotions
	Cut     bool   // the link between the nodes
	Hint    string // how a node that does not lead names the leader, or an address
}

// member is one node of a pair.
type member struct {
	Addr   string
	Up     bool
	Paused bool
	// aware: it knows the other one as the leader. The node still does when
	// that one has died, until it is promoted itself.
	Aware bool
	// following: it gets every batch the leader accepts, and what it holds is
	// what the leader holds.
	Following bool
}

// How a node that does not lead names the leader.
const (
	HintLive   = ""       // as it knows it
	HintAbsent = "absent" // not at all
	HintStale  = "stale"  // itself
)

// New returns a cluster of which the first member leads and the second follows.
func New(a, b string) Cluster {
	return Cluster{
		Members: [2]member{{Addr: a, Up: true, Aware: true}, {Addr: b, Up: true, Aware: true, Following: true}},
		Leading: true, Term: 1,
	}
}

// NodeName returns "A" or "B".
func NodeName(i int) string { return string(rune('A' + i)) }

// Accepts tells whether a member takes changes.
func (c *Cluster) Accepts(i int) bool { return c.Leading && c.Leader == i && c.Members[i].Up }

// Works tells whether a member is there and does something.
func (c *Cluster) Works(i int) bool { return c.Members[i].Up && !c.Members[i].Paused }

// Led tells whether there is a leader that works.
func (c *Cluster) Led() bool { return c.Leading && c.Works(c.Leader) }

// Role returns what a member is to its clients.
func (c *Cluster) Role(i int) replica.Role {
	r := replica.Role{Accepts: c.Accepts(i), Term: c.Term}
	if r.Accepts {
		return r
	}
	switch c.Hint {
	case HintLive:
		if c.Members[i].Aware {
			r.Leader = c.Members[1-i].Addr
		}
	case HintAbsent:
	case HintStale:
		r.Leader = c.Members[i].Addr
	default:
		r.Leader = c.Hint
	}
	return r
}

// Successor returns who should take over, -1 when nobody should or can. The
// former leader is its own successor only when the other one cannot do it.
func (c *Cluster) Successor() int {
	switch {
	case c.Led():
	case c.Works(1 - c.Leader):
		return 1 - c.Leader
	case c.Works(c.Leader):
		return c.Leader
	}
	return -1
}

// Depose takes the leadership away.
func (c *Cluster) Depose() {
	c.Leading = false
	c.Members[c.Leader].Aware = false
}

// Promote makes a member the leader of a new term. The other one, whether it
// led or followed, has to join anew.
func (c *Cluster) Promote(i int) {
	if c.Leader != i {
		c.Depose()
	}
	c.Leader, c.Leading, c.Term = i, true, c.Term+1
	c.Members[i].Aware = true
	c.Members[i].Following, c.Members[1-i].Following = false, false
}

// StopFollowing notes that a member does not get the batches any more.
func (c *Cluster) StopFollowing(i int) { c.Members[i].Following = false }

// Kill ends a member's process, and with it all it knew.
func (c *Cluster) Kill(i int) {
	if c.Leader == i {
		c.Leading = false
	}
	c.Members[i].Up, c.Members[i].Paused, c.Members[i].Aware, c.Members[i].Following = false, false, false, false
}

// MayNotice tells whether a member should learn who leads.
func (c *Cluster) MayNotice(i int) bool {
	return c.Led() && c.Leader != i && c.Works(i) && !c.Members[i].Aware
}

// MayJoin tells whether a member should begin to follow.
func (c *Cluster) MayJoin(i int) bool {
	return c.Led() && c.Leader != i && c.Works(i) && !c.Cut && !c.Members[i].Following
}

// Describe names what a member is, in one word.
func (c *Cluster) Describe(i int) string {
	switch m := c.Members[i]; {
	case !m.Up:
		return "down"
	case m.Paused:
		return "paused"
	case c.Accepts(i):
		return "leader"
	case m.Following:
		return "follower"
	}
	return "waiting"
}
