package stream

import (
	"slices"
	"time"
)

// plan gives the waiting subscribers of a group a home where there is one, and
// opens what the rest needs. One connection at a time is being opened, so that
// subscribers that come together share the next one.
func (h *hub) plan(now time.Time, g *group) {
	for _, m := range slices.Clone(g.waiting) {
		if u := g.serving(now, &m.filter); u != nil {
			h.enter(now, m, u)
		}
	}
	opening := len(g.upstreams) > 0 && g.upstreams[len(g.upstreams)-1].phase == upOpening
	if len(g.waiting) > 0 && !opening {
		h.open(now, g, g.wider())
	}
}

// enter puts a subscriber on a live connection. What is committed from now on is
// notified to it. What it is about to learn from lists is newer than any page
// asked for before.
func (h *hub) enter(now time.Time, m *member, u *upstream) {
	g := m.group
	g.waiting = slices.DeleteFunc(g.waiting, func(x *member) bool { return x == m })
	m.fed = now
	u.house(m)
	h.stats.Joins++
	h.pages.reset()
	m.wake()
}

// serving returns a live connection that covers the filter and is not suspected
// to be dead or at the wrong node.
func (g *group) serving(now time.Time, f *watchFilter) *upstream {
	for _, u := range g.upstreams {
		if u.phase == upLive && !u.deposed && now.Sub(u.lastFrame) < stale && u.filter.covers(f) {
			return u
		}
	}
	return nil
}

// wider returns the filter of the next connection: that of the first waiting
// subscriber, united with all akin to it that fit, those that wait too, those
// that lost their connection a moment ago, and those of the live connections,
// which it will replace.
//
// A request that does not fit or is not akin gets a connection of its own, up to maxParts
// of them: a connection costs the node a task and a heartbeat every 5 s, a
// filter too wide costs a notification for every commit it lets through, here
// and there, for ever. Only then is everything put on one connection, with the
// largest sets dropped until it fits.
func (g *group) wider() watchFilter {
	f := g.waiting[0].filter
	f.unite(g.waiting[1:])
	for _, lost := range g.lost {
		f.uniteOne(&lost)
	}
	g.lost = slices.DeleteFunc(g.lost, func(lost watchFilter) bool { return f.covers(&lost) })
	parallel := 0
	for _, u := range g.upstreams {
		demand, used := u.demand()
		if u.phase == upLive && used && !f.uniteOne(&demand) {
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
		f.uniteOne(&m.filter)
	}
}

// uniteOne widens f to cover g if it still is one of its kind and fits, or
// covers it anyway.
func (f *watchFilter) uniteOne(g *watchFilter) bool {
	if f.covers(g) {
		return true
	}
	if !f.akin(g) {
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

// demand covers what the upstream's members ask for, which may be less than its
// filter lets through; false if it has none.
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
	g.until = now.Add(remembered)
	for i := range g.lost {
		if g.lost[i].uniteOne(&f) {
			return
		}
	}
	if len(g.lost) < maxParts {
		g.lost = append(g.lost, f)
	}
}
