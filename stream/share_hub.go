package stream

import (
	"errors"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// linger is how long an unused connection stays open.
	linger = time.Second
	// staleAfter is the silence after which no subscriber joins a connection any more:
	// two heartbeats are missing, or nearly.
	staleAfter = 8 * time.Second
	// drainTimeout is the silence after which a draining connection is given up.
	drainTimeout = 15 * time.Second
	// heartbeatEvery bounds how often a subscriber is woken for frames that hold
	// nothing for it.
	heartbeatEvery = time.Second
	// rememberLost is how long the filters of subscribers that lost their connection
	// are kept, so that the first one back opens a connection for all.
	rememberLost = 30 * time.Second
	// maxDraining bounds the draining connections of a group.
	maxDraining = 32
)

// errMoved ends a subscriber whose old connection was given up before it was drained.
var errMoved = errors.New("stream: a shared watch moved and some of what the old connection had to say may be lost")

// hub decides which subscribers share which watch connection and which page. A hub is
// pure: it neither waits nor looks at a clock; its effects say what is to be opened and
// closed.
//
//	connection   opening ──acknowledged──▶ live ──replaced by a wider one──▶ draining ──▶ closed
//	                │                       │ └───────nobody left, linger───────▲   ▲
//	                └──────────failed───────┴────────────lost───────────────────────┘
type hub struct {
	groups      map[groupKey]*group
	upstreams   map[uint64]*upstream
	nextID      uint64
	pages       pages
	leader      leader
	leadAnswers map[string]leadAnswer
	stats       ShareStats
	effects     []shareEffect
	direct      []*member // handed the present frame itself, past their queues
}

// shareEffect asks to open the upstream with a request, or to close it where
// there is none.
type shareEffect struct {
	id       uint64
	request  *msg.WatchRequest
	follower bool
}

// group is the connections of one shard, latency and kind of node.
type group struct {
	key groupKey
	// waiting are subscribers that no live connection covers yet.
	waiting []*member
	// upstreams in the order they were opened; only the last may be opening.
	upstreams []*upstream
	// lost are the filters of subscribers that lost their connection, kept until.
	lost  []watchFilter
	until time.Time
}

type upstreamPhase uint8

const (
	upOpening upstreamPhase = iota
	upLive
	upDraining
)

// upstream is one watch connection.
type upstream struct {
	id        uint64
	group     *group
	filter    watchFilter
	phase     upstreamPhase
	node      string
	deposed   bool // the node has answered that it leads no more
	members   []*member
	lastFrame time.Time
	// unused is when the last member left; zero while there are members.
	unused time.Time
	drain  *drain
}

// member is one subscriber's watch.
type member struct {
	group    *group
	filter   watchFilter
	wake     func()
	upstream *upstream // nil until one is joined
	node     string    // of the upstream, or of the last one
	// listener is handed frames on the goroutine that received them; frames wait in the
	// queue only while one is being handed over (delivering). nil for a member that calls
	// Next.
	listener   listener
	delivering bool
	queue      hintQueue
	// ready: notifications wait in the queue, or a heartbeat is to be passed on.
	ready   bool
	wokenAt time.Time // for a frame
	err     error
}

// listener is a subscriber that is handed its frames, in place of asking for them. Calls
// come one at a time, in order, and without any lock held.
type listener interface {
	// receive takes a frame, which is valid during the call. Without wait it refuses the
	// frame, and returns false, while the subscription is at work.
	receive(frame []msg.Notification, wait bool) bool
	// lost is the last call.
	lost(err error)
}

func newHub() *hub {
	return &hub{groups: make(map[groupKey]*group), upstreams: make(map[uint64]*upstream), pages: newPages(), leadAnswers: make(map[string]leadAnswer)}
}

// join adds a subscriber. wake is called when it has an upstream, when something is
// ready for it, and when it has failed.
func (h *hub) join(now time.Time, key groupKey, f watchFilter, wake func()) *member {
	g := h.groups[key]
	if g == nil {
		g = &group{key: key}
		h.groups[key] = g
	}
	m := &member{group: g, filter: f, wake: wake}
	g.waiting = append(g.waiting, m)
	h.stats.Subscribers++
	h.plan(now, g)
	return m
}

// leave removes a subscriber; an earlier cause of its end stays.
func (h *hub) leave(now time.Time, m *member, cause error) {
	if m.err == nil {
		h.expel(now, m, cause)
	}
}

// opened notes that a node has acknowledged an upstream.
func (h *hub) opened(now time.Time, id uint64, node string) {
	u := h.upstreams[id]
	if u == nil {
		return
	}
	u.phase, u.node, u.lastFrame, u.unused = upLive, node, now, now
	for _, old := range slices.Clone(u.group.upstreams) {
		demand, any := old.demand()
		if old.phase == upLive && old != u && any && u.filter.covers(&demand) {
			h.move(now, old, u)
		}
	}
	h.plan(now, u.group)
}

// move attaches old's members to u and lets old drain. If the two lead to different
// nodes, old cannot be drained, and its members depend on the node they know: members
// at a former leader are ended, and reconcile. Members at a follower stay there, since
// one follower is as good as another, unless the group has too many connections.
func (h *hub) move(now time.Time, old, u *upstream) {
	if old.node != u.node && u.group.key.follower && u.group.live() <= maxParts {
		return
	}
	h.stats.Moves++
	if old.node != u.node {
		h.drop(now, old, errMoved)
		return
	}
	old.phase, old.drain = upDraining, newDrain(u.id)
	for _, m := range old.members {
		if m.upstream == old {
			u.add(m)
		}
	}
	h.limitDraining(now, u.group)
}

// limitDraining gives up the oldest of too many draining connections.
func (h *hub) limitDraining(now time.Time, g *group) {
	for {
		var oldest *upstream
		n := 0
		for _, u := range slices.Backward(g.upstreams) {
			if u.phase == upDraining {
				oldest = u
				n++
			}
		}
		if n <= maxDraining {
			return
		}
		h.drop(now, oldest, errMoved)
	}
}

// failed notes that an upstream could not be opened or was lost, and ends its members.
func (h *hub) failed(now time.Time, id uint64, err error) {
	u := h.upstreams[id]
	if u == nil {
		return
	}
	h.pages.invalidateAll()
	g := u.group
	if u.phase == upOpening {
		for _, m := range slices.Clone(g.waiting) {
			if u.filter.covers(&m.filter) {
				h.expel(now, m, err)
			}
		}
		g.remember(now, u.filter)
	}
	for _, m := range u.members {
		g.remember(now, m.filter)
	}
	h.drop(now, u, err)
	h.plan(now, g)
}

// drop ends an upstream and its members.
func (h *hub) drop(now time.Time, u *upstream, err error) {
	members := u.members
	u.members = nil
	h.closeUpstream(u)
	for _, m := range members {
		h.expel(now, m, err)
	}
}

// closeUpstream closes an upstream, unless it is closed already.
func (h *hub) closeUpstream(u *upstream) {
	if h.upstreams[u.id] != u {
		return
	}
	delete(h.upstreams, u.id)
	u.group.upstreams = slices.DeleteFunc(u.group.upstreams, func(x *upstream) bool { return x == u })
	h.effects = append(h.effects, shareEffect{id: u.id})
}

// expel ends a subscriber and drops its queue.
func (h *hub) expel(now time.Time, m *member, err error) {
	g := m.group
	m.err, m.upstream = err, nil
	m.queue.drop()
	h.stats.Subscribers--
	g.waiting = slices.DeleteFunc(g.waiting, func(x *member) bool { return x == m })
	for _, u := range slices.Clone(g.upstreams) {
		u.remove(now, m)
		if u.phase == upDraining && len(u.members) == 0 {
			h.closeUpstream(u)
		}
	}
	m.wake()
}

// frame hands each member of the upstream its part of a frame. Pages of the notified
// aggregates that were read before are shared no more.
func (h *hub) frame(now time.Time, id uint64, frame []msg.Notification) {
	u := h.upstreams[id]
	if u == nil {
		return
	}
	u.lastFrame = now
	h.stats.Notifications += uint64(len(frame))
	for i := range frame {
		h.pages.invalidate(frame[i].Key)
	}
	var lagging []*member
	for _, m := range u.members {
		switch {
		case m.listener != nil && !m.delivering && !m.ready:
			if m.wants(now, frame, m.upstream == u) {
				m.delivering = true
				h.direct = append(h.direct, m)
			}
		case !m.enqueue(now, frame, m.upstream == u):
			lagging = append(lagging, m)
		}
	}
	h.expelLagging(now, lagging)
	h.closeDrained(now, u, frame)
}

// expelLagging ends subscribers whose queue is full.
func (h *hub) expelLagging(now time.Time, members []*member) {
	for _, m := range members {
		h.stats.Lagged++
		h.expel(now, m, ErrLagging)
	}
}

// delivered notes that a frame was handed to some of the direct members. Members that
// refused it, because they are at work, have it queued.
func (h *hub) delivered(now time.Time, frame []msg.Notification, members []*member, refused func(i int) bool) {
	var lagging []*member
	for i, m := range members {
		m.delivering = false
		switch {
		case m.err != nil:
			m.wake()
		case refused(i) && !m.enqueue(now, frame, true):
			lagging = append(lagging, m)
		case m.ready || refused(i): // a heartbeat that is refused counts, too
			m.ready = true
			m.wake()
		}
	}
	h.expelLagging(now, lagging)
}

// wants reports whether a frame is to be handed to the subscriber; own tells that the frame
// is of its own upstream.
func (m *member) wants(now time.Time, frame []msg.Notification, own bool) bool {
	heard := slices.ContainsFunc(frame, func(n msg.Notification) bool { return m.filter.matches(n.Key) })
	if !heard && (!own || now.Sub(m.wokenAt) < heartbeatEvery) {
		return false
	}
	m.wokenAt = now
	return true
}

// pick returns the notifications that the filter lets through: the frame itself, if it
// lets all through, or else a copy in room.
func (f *watchFilter) pick(frame, room []msg.Notification) []msg.Notification {
	for i := range frame {
		if f.matches(frame[i].Key) {
			continue
		}
		out := append(room[:0], frame[:i]...)
		for j := i + 1; j < len(frame); j++ {
			if f.matches(frame[j].Key) {
				out = append(out, frame[j])
			}
		}
		return out
	}
	return frame
}

// enqueue queues a frame for the subscriber; false if the queue is full. Heartbeats
// count only from the subscriber's own upstream: its liveness depends on no other.
func (m *member) enqueue(now time.Time, frame []msg.Notification, own bool) bool {
	heard := false
	for i := range frame {
		if !m.filter.matches(frame[i].Key) {
			continue
		}
		heard = true
		if !m.queue.add(&frame[i]) {
			return false
		}
	}
	if !heard && (!own || now.Sub(m.wokenAt) < heartbeatEvery) {
		return true
	}
	m.wokenAt = now
	m.ready = true
	m.wake()
	return true
}

// closeDrained closes the connections that the frame proves to be drained.
func (h *hub) closeDrained(now time.Time, u *upstream, frame []msg.Notification) {
	if u.phase == upDraining && u.drain.frameOnOld(now, frame) {
		h.closeUpstream(u)
	}
	for _, old := range slices.Clone(u.group.upstreams) {
		if old.phase == upDraining && old.drain.successor <= u.id && old.drain.frameOnNew(frame) {
			h.closeUpstream(old)
		}
	}
}

// tick lets time pass.
func (h *hub) tick(now time.Time) {
	h.pages.expire(now)
	for key, g := range h.groups {
		for _, u := range slices.Clone(g.upstreams) {
			if at := u.deadline(); !at.IsZero() && !now.Before(at) {
				h.drop(now, u, errMoved)
			}
		}
		if !now.Before(g.until) {
			g.lost = nil
		}
		h.plan(now, g)
		if len(g.upstreams) == 0 && len(g.waiting) == 0 && len(g.lost) == 0 {
			delete(h.groups, key)
		}
	}
}

// deadline is when time alone ends the upstream; zero is never.
func (u *upstream) deadline() time.Time {
	switch {
	case u.phase == upDraining:
		return u.lastFrame.Add(drainTimeout)
	case len(u.members) == 0 && (u.phase == upLive || !u.wanted()):
		return u.unused.Add(linger)
	}
	return time.Time{}
}

// wanted reports whether a subscriber waits for the upstream.
func (u *upstream) wanted() bool {
	return slices.ContainsFunc(u.group.waiting, func(m *member) bool { return u.filter.covers(&m.filter) })
}

// wakeAt is when tick is due; false when nothing waits for time.
func (h *hub) wakeAt() (time.Time, bool) {
	at := h.pages.expiry()
	consider := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, g := range h.groups {
		for _, u := range g.upstreams {
			consider(u.deadline())
		}
		if len(g.upstreams) == 0 && len(g.waiting) == 0 || len(g.lost) > 0 {
			consider(g.until)
		}
	}
	return at, !at.IsZero()
}

// end expels all subscribers and closes all upstreams.
func (h *hub) end(now time.Time, err error) {
	for _, g := range h.groups {
		for _, m := range slices.Clone(g.waiting) {
			h.expel(now, m, err)
		}
		for _, u := range slices.Clone(g.upstreams) {
			h.drop(now, u, err)
		}
	}
	clear(h.groups)
	h.pages.invalidateAll()
}

// add puts a member on the upstream.
func (u *upstream) add(m *member) {
	m.upstream, m.node = u, u.node
	u.members = append(u.members, m)
	u.unused = time.Time{}
}

func (u *upstream) remove(now time.Time, m *member) {
	if i := slices.Index(u.members, m); i >= 0 {
		u.members = slices.Delete(u.members, i, i+1)
	}
	if len(u.members) == 0 && u.unused.IsZero() {
		u.unused = now
	}
}
