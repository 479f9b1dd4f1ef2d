package celerianttest

import "fmt"

// cluster is what the two nodes of a pair are to each other. It decides and
// knows neither time nor data; Pair acts on it.
type cluster struct {
	members [2]member
	// leader is the member that leads or, while nobody does, led last.
	leader int
	// leading tells whether it still does. A paused leader leads on until the
	// other one is promoted, like a stopped process that knows of nothing.
	leading bool
	term    uint64 // counts promotions
	cut     bool   // the link between the nodes
	hint    Hint
}

// member is one node of a pair.
type member struct {
	addr   string
	up     bool
	paused bool
	// aware: it knows the other one as the leader. It still does when that
	// one has died, until it is promoted itself.
	aware bool
	// following: it gets every batch the leader accepts, and what it holds is
	// what the leader holds.
	following bool
}

// Hint says what a node that does not lead tells about the leader: one of the
// constants below, or an address to name.
type Hint string

// What the nodes of a pair tell about the leader.
const (
	// HintLive is what the reference server tells: the other node, also while
	// that one is dead and not yet replaced; nothing after a start or a
	// deposition until the node has learnt who leads.
	HintLive Hint = ""
	// HintAbsent tells nothing.
	HintAbsent Hint = "absent"
	// HintStale names the very node that is asked, as if it still led.
	HintStale Hint = "stale"
)

func newCluster(a, b string) cluster {
	return cluster{
		members: [2]member{{addr: a, up: true, aware: true}, {addr: b, up: true, aware: true, following: true}},
		leading: true, term: 1,
	}
}

func nodeName(i int) string { return string(rune('A' + i)) }

// accepts tells whether a member takes changes.
func (c *cluster) accepts(i int) bool { return c.leading && c.leader == i && c.members[i].up }

// works tells whether a member is there and does something.
func (c *cluster) works(i int) bool { return c.members[i].up && !c.members[i].paused }

// led tells whether there is a leader that works.
func (c *cluster) led() bool { return c.leading && c.works(c.leader) }

// role returns what a member is to its clients.
func (c *cluster) role(i int) role {
	r := role{accepts: c.accepts(i), term: c.term}
	if r.accepts {
		return r
	}
	switch c.hint {
	case HintLive:
		if c.members[i].aware {
			r.leader = c.members[1-i].addr
		}
	case HintAbsent:
	case HintStale:
		r.leader = c.members[i].addr
	default:
		r.leader = string(c.hint)
	}
	return r
}

// successor returns who should take over, -1 when nobody should or can. The
// former leader is its own successor only when the other one cannot do it.
func (c *cluster) successor() int {
	switch {
	case c.led():
	case c.works(1 - c.leader):
		return 1 - c.leader
	case c.works(c.leader):
		return c.leader
	}
	return -1
}

// depose takes the leadership away.
func (c *cluster) depose() {
	c.leading = false
	c.members[c.leader].aware = false
}

// promote makes a member the leader of a new term. The other one, whether it
// led or followed, has to join anew.
func (c *cluster) promote(i int) {
	if c.leader != i {
		c.depose()
	}
	c.leader, c.leading, c.term = i, true, c.term+1
	c.members[i].aware = true
	c.members[i].following, c.members[1-i].following = false, false
}

// stopFollowing notes that a member does not get the batches any more.
func (c *cluster) stopFollowing(i int) { c.members[i].following = false }

// kill ends a member's process, and with it all it knew.
func (c *cluster) kill(i int) {
	if c.leader == i {
		c.leading = false
	}
	c.members[i].up, c.members[i].paused, c.members[i].aware, c.members[i].following = false, false, false, false
}

// mayNotice tells whether a member should learn who leads.
func (c *cluster) mayNotice(i int) bool {
	return c.led() && c.leader != i && c.works(i) && !c.members[i].aware
}

// mayJoin tells whether a member should begin to follow.
func (c *cluster) mayJoin(i int) bool {
	return c.led() && c.leader != i && c.works(i) && !c.cut && !c.members[i].following
}

// describe names what a member is, in one word.
func (c *cluster) describe(i int) string {
	switch m := c.members[i]; {
	case !m.up:
		return "down"
	case m.paused:
		return "paused"
	case c.accepts(i):
		return "leader"
	case m.following:
		return "follower"
	}
	return "waiting"
}

// PairError says why a pair cannot do what was asked.
type PairError struct {
	// Op is what was asked, such as "fail over".
	Op string
	// Reason names the node and its state.
	Reason string
}

// Error returns both.
func (e *PairError) Error() string { return fmt.Sprintf("celerianttest: %s: %s", e.Op, e.Reason) }
