package lease

import (
	"cmp"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// seat is one member of a subscription, of this process or another one, that takes
// part in the assignment.
type seat struct {
	id, label  string
	joined     int64
	holds      func(partition uint32) bool
	asks       Set
	local      *member
	superseded bool
}

// seats are the members of a subscription that are alive, in the order of their ids.
func (p *Process) seats(name string, generation uint64) []seat {
	var seats []seat
	for _, m := range p.members {
		if m.Name == name && m.Definition.Generation == generation && !m.leaving {
			seats = append(seats, seat{id: m.ID, label: m.Label, joined: m.joined, holds: m.has, asks: m.asks, local: m})
		}
	}
	for _, other := range p.peers.all {
		if !other.alive() {
			continue
		}
		for i := range other.Members {
			if e := &other.Members[i]; e.Name == name && e.Generation == generation {
				seats = append(seats, seat{id: e.ID, label: e.Label, joined: e.Joined, holds: e.Holds.Has, asks: e.Asks})
			}
		}
	}
	slices.SortFunc(seats, func(a, b seat) int { return cmp.Compare(a.id, b.id) })
	for i := range seats {
		seats[i].superseded = slices.ContainsFunc(seats, func(other seat) bool { return other.supersedes(&seats[i]) })
	}
	return seats
}

// supersedes reports whether other was started in place of s: both have one label,
// and it joined later.
func (s *seat) supersedes(other *seat) bool {
	return s.label != "" && s.label == other.label && s.id != other.id &&
		cmp.Or(cmp.Compare(s.joined, other.joined), cmp.Compare(s.id, other.id)) > 0
}

// claims reports whether what a partition's record says of its owner counts: that is
// a member that is alive, not superseded, and knows of it.
func (p *Process) claims(m *member, seats []seat, partition uint32, r Partition) bool {
	if r.Member == "" {
		return false
	}
	if r.Process == p.opts.ID || p.opts.Alone {
		return slices.ContainsFunc(seats, func(s seat) bool {
			return s.id == r.Member && s.local != nil && s.local != m && !s.superseded && (s.holds(partition) || s.local.op != 0)
		})
	}
	other := p.peers.all[r.Process]
	d := p.firstSight(m, partition, r)
	if p.answered <= d.exchange {
		// The claim may be younger than what is known of its owner: heartbeats come
		// before claims, so the next exchange tells.
		p.inquire = true
		return true
	}
	if other == nil || !other.alive() {
		return false
	}
	if !d.counts {
		// Knowledge from before that exchange may be many heartbeats old.
		d.counts, d.beat = true, other.Beat
		m.sights[partition] = d
	}
	return slices.ContainsFunc(seats, func(s seat) bool {
		return s.id == r.Member && s.local == nil && !s.superseded && (s.holds(partition) || other.Beat < d.beat+2)
	})
}

// sight is when a claim of another process was seen first: after which exchange and
// which heartbeat of its owner. One that is not told of in two heartbeats since is not
// known to its owner, because the answer to it was lost.
type sight struct {
	token    checkpoint.Token
	exchange uint64
	counts   bool // beat is of an exchange after the first sight
	beat     uint64
}

func (p *Process) firstSight(m *member, partition uint32, r Partition) sight {
	s, ok := m.sights[partition]
	if ok && s.token == r.Token {
		return s
	}
	s = sight{token: r.Token, exchange: p.asked}
	if m.sights == nil {
		m.sights = make(map[uint32]sight)
	}
	m.sights[partition] = s
	return s
}

// rests is when the membership has rested, by the store's clock.
func (p *Process) rests(seats []seat) time.Time {
	var last int64
	for i := range seats {
		last = max(last, seats[i].joined)
	}
	return time.UnixMilli(last).Add(p.interval())
}

// rested reports whether surplus may move: nobody joined for an interval, by the
// store's clock or by this process's own.
func (p *Process) rested(now Instant, m *member, seats []seat) bool {
	if !slices.EqualFunc(m.crowd, seats, func(id string, s seat) bool { return id == s.id }) {
		m.crowd, m.crowdAt = nil, now.Mono
		for i := range seats {
			m.crowd = append(m.crowd, seats[i].id)
		}
	}
	left := min(p.rests(seats).Sub(p.storeTime(now.Mono)), m.crowdAt+p.interval()-now.Mono)
	if m.restAt = 0; left > 0 && len(seats) > 1 && !p.opts.Alone {
		m.restAt = now.Mono + left + time.Millisecond
		return false
	}
	return len(seats) > 1
}

// plan works out, for one member, what it is to claim, what to ask for and what to
// give to whom.
func (p *Process) plan(m *member, seats []seat, rested bool) (want, asks Set, give map[uint32]string) {
	seats = slices.DeleteFunc(slices.Clone(seats), func(s seat) bool { return s.superseded })
	ids := make([]string, len(seats))
	self := nobody
	for i := range seats {
		ids[i] = cmp.Or(seats[i].label, seats[i].id)
		if seats[i].local == m {
			self = i
		}
	}
	n := m.Definition.Count()
	holder, frozen := make([]int, n), make([]bool, n)
	for q := range n {
		holder[q] = nobody
		frozen[q] = m.frozen[q]
		for i := range seats {
			if seats[i].holds(q) {
				holder[q] = i
			}
		}
		if m.has(q) {
			holder[q] = self
		}
	}
	for q, target := range assign(m.Definition, ids, holder, frozen) {
		q := uint32(q)
		switch {
		case target == self && holder[q] == nobody:
			want = append(want, q)
		case target == self && holder[q] != self:
			want, asks = append(want, q), append(asks, q)
		case target != self && target != nobody && holder[q] == self && rested && seats[target].asks.Has(q):
			if give == nil {
				give = make(map[uint32]string)
			}
			give[q] = seats[target].id
		}
	}
	return want, asks, give
}
