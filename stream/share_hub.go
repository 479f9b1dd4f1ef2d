package stream

import (
	"errors"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// linger is how long a connection nobody uses stays open.
	linger = time.Second
	// stale is the silence after which nobody joins a connection any more: two
	// heartbeats are missing, or nearly.
	stale = 8 * time.Second
	// silence is the silence after which a connection being left is given up.
	silence = 15 * time.Second
	// beatEvery bounds how often a subscriber is woken for frames that hold
	// nothing for it.
	beatEvery = time.Second
	// remembered is how long the filters of subscribers that lost their connection
	// are kept, so that the first one back opens a connection for all.
	remembered = 30 * time.Second
	// maxDraining bounds the connections being left, in a group.
	maxDraining = 32
)

// errMoved ends a subscriber whose old connection was given up before all of it
// was heard.
var errMoved = errors.New("stream: a shared watch moved and some of what the old connection had to say may be lost")

// hub decides who shares which watch connection and which page. It is pure: it
// neither waits nor looks at a clock; its effects say what is to be opened and
// closed.
//
//	connection   opening ──acknowledged──▶ live ──replaced by a wider one──▶ draining ──▶ closed
//	                │                       │ └───────nobody left, linger───────▲   ▲
//	                └──────────failed───────┴────────────lost───────────────────────┘
type hub struct {
	groups    map[groupKey]*group
	upstreams map[uint64]*upstream
	nextID    uint64
	pages     pages
	leader    leader
	verdicts  map[string]verdict
	stats     ShareStats
	effects   []shareEffect
	direct    []*member // that take the present frame as it is, without their queue
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
	// lost are the filters of subscribers that lost their connection, until.
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
	deposed   bool // the node has said that it leads no more
	members   []*member
	lastFrame time.Time
	// unused is since when it has had no members.
	unused time.Time
	drain  *drain
}

// member is one subscriber's watch.
type member struct {
	group  *group
	filter watchFilter
	wake   func()
	home   *upstream // nil until one is joined
	node   string    // of the home it has or had last
	// listener is handed frames on the goroutine that heard them; they wait in the queue
	// only while one is being handed over, busy. nil for a member that asks for them.
	listener listener
	busy     bool
	queue    hintQueue
	// beat: a frame came that held nothing for the subscriber.
	beat bool
	fed  time.Time // when it was last woken for a frame
	err  error
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
	return &hub{groups: make(map[groupKey]*group), upstreams: make(map[uint64]*upstream), pages: newPages(), verdicts: make(map[string]verdict)}
}

// join adds a subscriber. It is watched once it has a home; wake is called when
// it has one, when something is to be taken, and when it has failed.
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

// leave takes a subscriber off; its own cause stays.
func (h *hub) leave(now time.Time, m *member, cause error) {
	if m.err == nil {
		h.expel(now, m, cause)
	}
}

// opened says that an upstream was acknowledged by a node.
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

// move makes u the home of old's members and lets old drain. At another node
// it cannot be drained, and its members depend on the node they know. If that was
// the leader, it is no more, and they reconcile; among followers each is as good.
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
		if m.home == old {
			u.house(m)
		}
	}
	h.limitDraining(now, u.group)
}

// limitDraining gives up the oldest of too many connections being left.
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

// failed says that an upstream could not be opened or was lost: so it is for
// everyone on it.
func (h *hub) failed(now time.Time, id uint64, err error) {
	u := h.upstreams[id]
	if u == nil {
		return
	}
	h.pages.reset()
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

// drop ends an upstream and everyone on it.
func (h *hub) drop(now time.Time, u *upstream, err error) {
	members := u.members
	u.members = nil
	h.shut(u)
	for _, m := range members {
		h.expel(now, m, err)
	}
}

// shut closes an upstream, unless it is closed already.
func (h *hub) shut(u *upstream) {
	if h.upstreams[u.id] != u {
		return
	}
	delete(h.upstreams, u.id)
	u.group.upstreams = slices.DeleteFunc(u.group.upstreams, func(x *upstream) bool { return x == u })
	h.effects = append(h.effects, shareEffect{id: u.id})
}

// expel ends a subscriber: what it has not taken is void.
func (h *hub) expel(now time.Time, m *member, err error) {
	g := m.group
	m.err, m.home = err, nil
	m.queue.drop()
	h.stats.Subscribers--
	g.waiting = slices.DeleteFunc(g.waiting, func(x *member) bool { return x == m })
	for _, u := range slices.Clone(g.upstreams) {
		u.remove(now, m)
		if u.phase == upDraining && len(u.members) == 0 {
			h.shut(u)
		}
	}
	m.wake()
}

// frame hands a frame to all on the upstream, each what it asked for. What was
// heard of makes the pages read before it worthless.
func (h *hub) frame(now time.Time, id uint64, frame []msg.Notification) {
	u := h.upstreams[id]
	if u == nil {
		return
	}
	u.lastFrame = now
	h.stats.Notifications += uint64(len(frame))
	for i := range frame {
		h.pages.heard(frame[i].Key)
	}
	var lagging []*member
	for _, m := range u.members {
		switch {
		case m.listener != nil && !m.busy && !m.beat:
			if m.wants(now, frame, m.home == u) {
				m.busy = true
				h.direct = append(h.direct, m)
			}
		case !m.take(now, frame, m.home == u):
			lagging = append(lagging, m)
		}
	}
	h.lagged(now, lagging)
	h.drained(now, u, frame)
}

// lagged ends subscribers that have no room for more.
func (h *hub) lagged(now time.Time, members []*member) {
	for _, m := range members {
		h.stats.Lagged++
		h.expel(now, m, ErrLagging)
	}
}

// handed ends the handing over of a frame to some of the direct ones; those that
// refused it, because they are at work, have it queued.
func (h *hub) handed(now time.Time, frame []msg.Notification, members []*member, refused func(i int) bool) {
	var lagging []*member
	for i, m := range members {
		m.busy = false
		switch {
		case m.err != nil:
			m.wake()
		case refused(i) && !m.take(now, frame, true):
			lagging = append(lagging, m)
		case m.beat || refused(i): // a heartbeat that is refused counts, too
			m.beat = true
			m.wake()
		}
	}
	h.lagged(now, lagging)
}

// wants reports whether a frame is to be handed to the subscriber.
func (m *member) wants(now time.Time, frame []msg.Notification, home bool) bool {
	heard := slices.ContainsFunc(frame, func(n msg.Notification) bool { return m.filter.matches(n.Key) })
	if !heard && (!home || now.Sub(m.fed) < beatEvery) {
		return false
	}
	m.fed = now
	return true
}

// of returns what the filter lets through of a frame: the frame itself, if it is all of
// it, or else in room.
func (f *watchFilter) of(frame, room []msg.Notification) []msg.Notification {
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

// take queues a frame for the subscriber; false if it has no room. Heartbeats
// count from its home only: that is the connection it depends on.
func (m *member) take(now time.Time, frame []msg.Notification, home bool) bool {
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
	if !heard && (!home || now.Sub(m.fed) < beatEvery) {
		return true
	}
	m.fed = now
	m.beat = true
	m.wake()
	return true
}

// drained closes what the frame proves to be drained.
func (h *hub) drained(now time.Time, u *upstream, frame []msg.Notification) {
	if u.phase == upDraining && u.drain.told(now, frame) {
		h.shut(u)
	}
	for _, old := range slices.Clone(u.group.upstreams) {
		if old.phase == upDraining && old.drain.heir <= u.id && old.drain.heard(frame) {
			h.shut(old)
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

// deadline is when time alone ends the upstream; never is zero.
func (u *upstream) deadline() time.Time {
	switch {
	case u.phase == upDraining:
		return u.lastFrame.Add(silence)
	case len(u.members) == 0 && (u.phase == upLive || !u.wanted()):
		return u.unused.Add(linger)
	}
	return time.Time{}
}

// wanted reports whether somebody waits for the upstream.
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

// end expels everyone and closes everything.
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
	h.pages.reset()
}

// house makes u the member's home.
func (u *upstream) house(m *member) {
	m.home, m.node = u, u.node
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
