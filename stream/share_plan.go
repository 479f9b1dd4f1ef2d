package stream

import (
	"slices"
	"time"
)

// plan attaches the waiting subscribers of a group to connections that cover them, and
// opens one for the others. One connection at a time is being opened, so that
// subscribers that come together share the next one.
func (h *hub) plan(now time.Time, g *group) {
	for _, m := range slices.Clone(g.waiting) {
		if u := g.joinable(now, &m.filter); u != nil {
			h.attach(now, m, u)
		}
	}
	opening := len(g.upstreams) > 0 && g.upstreams[len(g.upstreams)-1].phase == upOpening
	if len(g.waiting) > 0 && !opening {
		h.open(now, g, g.nextFilter())
	}
}

// attach puts a subscriber on a live connection, which notifies it of every commit
// from now on. The lists that the subscriber makes next are newer than any page asked
// for before, so those pages are shared no more.
func (h *hub) attach(now time.Time, m *member, u *upstream) {
	g := m.group
	g.waiting = slices.DeleteFunc(g.waiting, func(x *member) bool { return x == m })
	m.wokenAt = now
	u.add(m)
	h.stats.Joins++
	h.pages.invalidateAll()
	m.wake()
}

// joinable returns a live connection that covers the filter and is neither silent nor
// at a deposed node; nil if there is none.
func (g *group) joinable(now time.Time, f *watchFilter) *upstream {
	for _, u := range g.upstreams {
		if u.phase == upLive && !u.deposed && now.Sub(u.lastFrame) < staleAfter && u.filter.covers(f) {
			return u
		}
	}
	return nil
}

// nextFilter returns the filter of the next connection: the filter of the first waiting
// subscriber, united with the filters of the same kind that fit: of other waiting
// subscribers, of subscribers that lost their connection lately, and of the live
// connections, which the next one will replace.
//
// A filter of another kind, or that does not fit, gets a connection of its own, up to
// maxParts of them. A connection costs the node a task and a heartbeat every 5 s; a
// filter too wide costs node and client a notification for every commit that it lets
// through. With maxParts connections in use, one connection serves all, with the
// largest sets of its filter dropped until it fits.
func (g *group) nextFilter() watchFilter {
	f := g.waiting[0].filter
	f.unite(g.waiting[1:])
	for _, lost := range g.lost {
		f.tryUnite(&lost)
	}
	g.lost = slices.DeleteFunc(g.lost, func(lost watchFilter) bool { return f.covers(&lost) })
	parallel := 0
	for _, u := range g.upstreams {
		demand, used := u.demand()
		if u.phase == upLive && used && !f.tryUnite(&demand) {
			parallel++
		}
	}
	if parallel < maxParts {
		return f
	}
	for _, m := range g.waiting {
		f = cover(f, m.filter)
	}
	for _, u := range g.upstreams {
		if demand, used := u.demand(); used {
			f = cover(f, demand)
		}
	}
	return f.widened()
}

func (g *group) live() int {
	n := 0
	for _, u := range g.upstreams {
		if u.phase == upLive {
			n++
		}
	}
	return n
}

func (f *watchFilter) unite(members []*member) {
	for _, m := range members {
		f.tryUnite(&m.filter)
	}
}

// tryUnite widens f to cover g, if g is of the same kind and the result fits. It
// reports whether f covers g.
func (f *watchFilter) tryUnite(g *watchFilter) bool {
	if f.covers(g) {
		return true
	}
	if !f.sameKind(g) {
		return false
	}
	if both := cover(*f, *g); both.fits() {
		*f = both
		return true
	}
	return false
}

func (h *hub) open(now time.Time, g *group, f watchFilter) {
	h.nextID++
	u := &upstream{id: h.nextID, group: g, filter: f, unused: now}
	h.upstreams[u.id] = u
	g.upstreams = append(g.upstreams, u)
	h.stats.Opened++
	req := f.request(g.key.shard, time.Duration(g.key.latency)*time.Millisecond)
	h.effects = append(h.effects, shareEffect{u.id, req, g.key.follower})
}

// demand is the filter that covers the upstream's members, which may be narrower than
// the upstream's own; false if there are no members.
func (u *upstream) demand() (watchFilter, bool) {
	if len(u.members) == 0 {
		return watchFilter{}, false
	}
	f := u.members[0].filter
	for _, m := range u.members[1:] {
		if !f.covers(&m.filter) {
			f = cover(f, m.filter)
		}
	}
	return f, true
}

// remember keeps the filter of a subscriber that is expected back.
func (g *group) remember(now time.Time, f watchFilter) {
	g.until = now.Add(rememberLost)
	for i := range g.lost {
		if g.lost[i].tryUnite(&f) {
			return
		}
	}
	if len(g.lost) < maxParts {
		g.lost = append(g.lost, f)
	}
}
