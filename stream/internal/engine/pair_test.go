package engine_test

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// member is a node, what befalls it, and since when it leads or does not.
type member struct {
	*node
	name     string
	applied  int       // groups of the history
	told     int       // groups notified
	shows    time.Time // all it was told to show by now
	frozen   bool
	behind   time.Time // nothing is shown before what was committed before it
	downTill time.Time
	deposed  time.Time
}

// attempt names one watch.
type attempt struct {
	link  engine.Link
	epoch uint64
}

// known is what the client believes of who leads.
type known struct {
	leader *member
	at     time.Time
}

func (s *sim) buildNodes() {
	for i := range s.set.Nodes {
		s.nodes = append(s.nodes, &member{node: s.newNode(), name: string(rune('A' + i))})
	}
	s.leader = s.nodes[0]
}

func (s *sim) nodeNamed(name string) *member {
	for _, m := range s.nodes {
		if m.name == name {
			return m
		}
	}
	s.failf("there is no node %q", name)
	return s.leader
}

func (s *sim) down(m *member) bool { return s.now.Before(m.downTill) }

// publish makes a group readable at the leader at once, at the others later.
func (s *sim) publish(group []record) {
	s.history = append(s.history, group)
	s.committed = s.now
	s.lead(s.leader)
	for _, m := range s.nodes {
		if m != s.leader {
			s.follow(m)
		}
	}
}

// lead lets the leader notify what is committed by now, and show it, perhaps some
// time later, in order.
func (s *sim) lead(m *member) {
	upTo, n := len(s.history), m.node
	if s.set.ReadLag == 0 {
		s.show(m, upTo)
		return
	}
	s.tell(m, upTo)
	if s.rng.IntN(4) == 0 {
		if at := s.now.Add(time.Duration(s.rng.IntN(s.set.ReadLag)) * time.Millisecond); at.After(m.shows) {
			s.seen["notified ahead of reads"]++
			m.shows = at
		}
	}
	if !m.shows.After(s.now) {
		s.show(m, upTo)
		return
	}
	s.at(m.shows, func() {
		if m.node == n {
			s.show(m, upTo)
		}
	})
}

// tell notifies the history up to a point, group by group.
func (s *sim) tell(m *member, upTo int) {
	for ; m.told < upTo; m.told++ {
		s.notify(m, s.history[m.told])
	}
}

// follow lets a follower show what is committed by now, some time later, in
// order.
func (s *sim) follow(m *member) {
	upTo := len(s.history)
	at := s.now.Add(s.within(time.Duration(s.set.Lag) * time.Millisecond))
	if at.Before(s.leader.shows) {
		at = s.leader.shows
	}
	if at.Before(m.behind) {
		at = m.behind
	}
	m.behind = at
	s.at(at, func() {
		if !m.frozen {
			s.show(m, upTo)
		}
	})
}

// show applies the history up to a point, group by group, and notifies.
func (s *sim) show(m *member, upTo int) {
	for ; m.applied < upTo; m.applied++ {
		group := s.history[m.applied]
		for _, r := range group {
			m.apply(r)
		}
		s.tell(m, m.applied+1)
	}
}

// reign is the time before a node that was deposed can lead again: the lease that the
// other one took at its election, 30 s, has to end first. A client's requests and what
// it believes of who leads are over by then.
const reign = 8 * time.Second

// elect makes another node the leader. The one before notices nothing, keeps its
// watches and their heartbeats, and goes on answering.
func (s *sim) elect() {
	if len(s.nodes) == 1 {
		return
	}
	old, next := s.leader, s.nodes[0]
	if next == old {
		next = s.nodes[1]
	}
	if !next.deposed.IsZero() && s.now.Sub(next.deposed) < reign {
		return
	}
	s.seen["leader deposed"]++
	s.note("%s leads", next.name)
	next.frozen = false
	s.show(next, len(s.history))
	old.deposed = s.now
	s.leader = next
	s.truth.off = time.Duration(s.rng.IntN(4000)-2000) * time.Millisecond
	s.freeze(old)
}

// freeze keeps a follower from showing anything new, for a while or for good.
func (s *sim) freeze(m *member) {
	if m == s.leader || m.frozen {
		return
	}
	m.frozen = true
	if s.rng.IntN(3) == 0 {
		s.seen["frozen for good"]++
		return
	}
	s.seen["frozen for a while"]++
	s.after(time.Duration(s.rng.IntN(60_000))*time.Millisecond, func() {
		m.frozen = false
		s.follow(m)
	})
}

// restart takes a node down. A leader is replaced, if it can be; a follower may
// come back showing less than before.
func (s *sim) restart(m *member) {
	s.seen["node restarted"]++
	s.note("node %s restarted", m.name)
	if m == s.leader {
		s.elect()
	}
	m.downTill = s.now.Add(s.within(4 * time.Second))
	if m == s.leader {
		s.show(m, len(s.history))
		m.restarted()
		if s.set.Quirks {
			for _, a := range m.order {
				s.truth.forgetHigh(a.key)
			}
		}
	} else {
		s.rebuild(m)
		m.restarted()
	}
	for _, w := range slices.Clone(s.open) {
		if w.node == m {
			s.cut(w)
		}
	}
}

// rebuild lets a follower show only the beginning of what it showed.
func (s *sim) rebuild(m *member) {
	if s.rng.IntN(2) > 0 {
		return
	}
	s.seen["restarted behind"]++
	upTo := max(0, m.applied-s.rng.IntN(50))
	m.node, m.applied = s.newNode(), 0
	for ; m.applied < upTo; m.applied++ {
		for _, r := range s.history[m.applied] {
			m.apply(r)
		}
	}
	m.told = m.applied
	s.follow(m)
}

// believed is the node the client takes for the leader: the one that proved it
// lately, though it may have been deposed since.
func (s *sim) believed() *member {
	if s.known.leader == nil || s.now.Sub(s.known.at) >= 5*time.Second {
		s.known = known{s.leader, s.now}
	}
	if s.known.leader != s.leader {
		s.seen["wrong leader believed"]++
	}
	return s.known.leader
}

// leads asks a node whether it leads; ok is false if it does not answer.
func (s *sim) leads(m *member) (leads, ok bool) {
	if s.chance(s.set.Faults) || s.down(m) {
		s.seen["no word on who leads"]++
		return false, false
	}
	if m == s.leader {
		s.known = known{m, s.now}
	} else if s.known.leader == m {
		s.known = known{}
	}
	return m == s.leader, true
}

// follower is the node to watch in place of the leader, the leader if there is
// none.
func (s *sim) follower() *member {
	leader := s.believed()
	for _, m := range s.nodes {
		if m != leader && !s.down(m) {
			return m
		}
	}
	return leader
}

// checkLeader answers some time later, if at all.
func (s *sim) checkLeader(name string, word bool) {
	run, m := s.run, s.nodeNamed(name)
	s.after(s.within(time.Second), func() {
		leads, ok := s.leads(m)
		if !ok {
			return
		}
		if !leads {
			s.seen["watched node deposed"]++
		}
		s.answer(run, func() { s.eng.LeaderChecked(s.now, name, leadership(leads), word) })
	})
}

// leaderStill asks a node that has answered whether it leads.
func (s *sim) leaderStill(m *member, done func(leads, ok bool)) {
	s.after(s.within(500*time.Millisecond), func() { done(s.leads(m)) })
}

// look is one at a node, in one run of the process. A shard that moves has another
// node looked at before the first has answered.
type look struct {
	run  int
	node string
}

// look answers the look for what a follower lacks.
func (s *sim) look(c engine.Command) {
	s.seen["lag looked for"]++
	shard := s.shardOf(c.Key)
	if looking := s.looking[shard]; looking.run == s.run && looking.node == c.Node {
		s.failf("two looks at the follower of shard %d under way", shard)
	}
	s.looking[shard] = look{s.run, c.Node}
	run, m := s.run, s.nodeNamed(c.Node)
	s.after(s.within(300*time.Millisecond), func() {
		page, failure, ok := m.read(c.Key, c.From, c.To)
		page.Node, failure.Node, failure.Err = m.name, m.name, errNode
		if s.chance(s.set.Faults) || s.down(m) {
			ok, failure = false, unavailable()
		}
		s.after(s.within(time.Second), func() {
			if run != s.run {
				return
			}
			if s.looking[shard].node == c.Node {
				delete(s.looking, shard)
			}
			s.input(func() {
				if ok {
					s.eng.PageRead(s.now, c.ID, page)
				} else {
					s.eng.ReadFailed(s.now, c.ID, failure)
				}
			})
		})
	})
}
