package stream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// The hub against a model of a node, whose connections notify in order, each at its own
// pace. Subscribers come, go, read and lag behind; connections are lost. Every commit
// after a subscriber joined must reach it unless its watch ended, and no page may be
// older than a change that its subscriber was notified of before.
func TestHubTellsEveryone(t *testing.T) {
	var moves, drained, joined, kept, lost uint64
	for seed := range uint64(400) {
		r := newHubRig(seed)
		for range 500 {
			r.step()
		}
		r.flush()
		if len(r.problems) > 0 {
			t.Fatalf("seed %d: %v", seed, r.problems[0])
		}
		moves, drained, lost = moves+r.hub.stats.Moves, drained+r.drained, lost+r.lost
		joined, kept = joined+r.joins, kept+r.kept
	}
	t.Logf("%d moves, %d drained, %d lost connections, reads joined %d, kept %d", moves, drained, lost, joined, kept)
	if moves < 1000 || drained < 500 || lost < 500 || joined < 500 || kept < 200 {
		t.Error("too quiet to prove anything")
	}
}

type hubRig struct {
	calm     bool
	rng      *rand.Rand
	hub      *hub
	now      time.Time
	log      []simCommit
	versions map[msg.Key]uint64
	fresh    map[msg.Key]bool // deleted: the next write begins at 1 again
	conns    []*simConn
	subs     []*simSub
	reads    []*simRead
	pageAge  map[*page]int
	handing  []simHanding
	problems []string

	drained, lost, joins, kept uint64
}

type simCommit struct {
	key     msg.Key
	op      msg.Operation
	version uint64
}

type simConn struct {
	id       uint64
	request  *msg.WatchRequest
	from     int // registered at this place of the log, -1 before
	told     int // of the log
	outbox   []simFrame
	lastSent time.Time
}

type simFrame struct {
	ack   bool
	hints []msg.Notification
	sent  time.Time
}

type simSub struct {
	member *member
	filter watchFilter
	since  int // the log when it joined, -1 before
	due    []int
	knows  map[msg.Key]int
}

type simRead struct {
	flight *flight
	askers []*simSub
	floors []int // what each knew when it asked
	state  int   // of the log when the node read, -1 before
}

func newHubRig(seed uint64) *hubRig {
	return &hubRig{
		calm: seed%2 == 1,
		rng:  rand.New(rand.NewPCG(seed, 77)), hub: newHub(), now: time.Unix(1000, 0),
		versions: make(map[msg.Key]uint64), fresh: make(map[msg.Key]bool), pageAge: make(map[*page]int),
	}
}

func simKey(n int) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(uint64(n % 2)), Type: msg.IDFromUint64(uint64(n % 3)), Aggregate: msg.IDFromUint64(uint64(n))}
}

func (r *hubRig) fail(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *hubRig) step() {
	n := r.rng.IntN(100)
	if r.calm && (n < 20 || n > 50 && n < 60 || n >= 93) && r.rng.IntN(4) > 0 {
		n = 75 + r.rng.IntN(18) // reads, mostly
	}
	if len(r.handing) > 0 && r.rng.IntN(2) == 0 {
		r.handed()
	}
	switch {
	case n < 20:
		r.commit()
	case n < 50:
		r.deliver()
	case n < 56:
		r.join()
	case n < 59:
		r.leave()
	case n < 75:
		r.take()
	case n < 84:
		r.ask()
	case n < 93:
		r.answer()
	case n < 94:
		r.list()
	case n < 95 && len(r.conns) > 0:
		r.lost++
		r.failed(r.conns[r.rng.IntN(len(r.conns))])
	default:
		r.pass(time.Duration(r.rng.IntN(1500)) * time.Millisecond)
	}
	r.effects()
}

func (r *hubRig) commit() {
	key := simKey(r.rng.IntN(8))
	c := simCommit{key: key, op: msg.OpWrite}
	switch r.rng.IntN(10) {
	case 0:
		c.op = msg.OpDelete
		r.fresh[key] = r.versions[key] > 0
	case 1:
		c.op = msg.OpTrimStart
	default:
		if r.fresh[key] {
			c.version = 1
		} else {
			r.versions[key]++
			c.version = r.versions[key]
		}
		r.fresh[key] = false
	}
	r.log = append(r.log, c)
	for _, s := range r.subs {
		if s.since >= 0 && s.filter.matches(key) {
			s.due = append(s.due, len(r.log)-1)
		}
	}
	for _, conn := range r.conns {
		if conn.from >= 0 {
			r.tell(conn)
		}
	}
}

// tell sends what the connection has not told yet, as the node does within the
// commit.
func (r *hubRig) tell(c *simConn) {
	for ; c.told < len(r.log); c.told++ {
		x := r.log[c.told]
		f := requestFilter(c.request)
		if !f.matches(x.key) {
			continue
		}
		// The floor says where in the log this is; merging keeps the highest.
		n := msg.Notification{Key: x.key, Operation: x.op, KeepFrom: msg.Some(uint64(c.told + 1))}
		if x.op == msg.OpWrite {
			n.From, n.To = msg.Some(x.version), msg.Some(x.version)
		}
		c.outbox = append(c.outbox, simFrame{hints: []msg.Notification{n}, sent: r.now})
		c.lastSent = r.now
	}
}

func requestFilter(req *msg.WatchRequest) watchFilter {
	return watchFilter{orgs: req.Orgs, types: req.Types, aggregates: req.Aggregates}
}

// deliver lets a connection make one step: register, or hand over a frame.
func (r *hubRig) deliver() {
	if len(r.conns) == 0 {
		return
	}
	c := r.conns[r.rng.IntN(len(r.conns))]
	if c.from < 0 {
		c.from, c.told, c.lastSent = len(r.log), len(r.log), r.now
		c.outbox = append(c.outbox, simFrame{ack: true, sent: r.now})
		return
	}
	r.handOver(c)
}

func (r *hubRig) handOver(c *simConn) {
	if len(c.outbox) == 0 {
		return
	}
	f := c.outbox[0]
	c.outbox = c.outbox[1:]
	if f.ack {
		r.hub.opened(r.now, c.id, "node")
	} else {
		// Frames that came in one go can be merged, as with a latency.
		for len(f.hints) > 0 && len(c.outbox) > 0 && len(c.outbox[0].hints) > 0 && r.rng.IntN(4) == 0 {
			f.hints = append(f.hints, c.outbox[0].hints...)
			c.outbox = c.outbox[1:]
		}
		before := len(r.hub.upstreams)
		r.hub.frame(r.now, c.id, f.hints)
		r.hand(f.hints)
		r.drained += uint64(before - len(r.hub.upstreams))
	}
	r.watched()
}

// watched notes who has been joined by now.
func (r *hubRig) watched() {
	for _, s := range r.subs {
		if s.since < 0 && s.member.upstream != nil {
			s.since = len(r.log)
			// The watch tells s of changes from here on, so its pages must show all before.
			for key := range r.versions {
				s.knows[key] = r.lastOf(key, len(r.log))
			}
		}
	}
	r.effects()
}

func (r *hubRig) join() {
	if len(r.subs) > 12 {
		return
	}
	var f watchFilter
	switch r.rng.IntN(8) {
	case 0, 1:
		f.types = []msg.ID{msg.IDFromUint64(uint64(r.rng.IntN(3)))}
	case 2, 3:
		f.orgs = []msg.ID{msg.IDFromUint64(uint64(r.rng.IntN(2)))}
		f.types = []msg.ID{msg.IDFromUint64(uint64(r.rng.IntN(3)))}
	case 4:
		if r.rng.IntN(4) == 0 {
			break
		}
		fallthrough
	default:
		ids := []msg.ID{msg.IDFromUint64(uint64(r.rng.IntN(8)))}
		for range r.rng.IntN(3) {
			ids = append(ids, msg.IDFromUint64(uint64(100+r.rng.IntN(100))))
		}
		f.aggregates = distinct(ids, msg.ID.Compare)
	}
	s := &simSub{filter: f, since: -1, knows: make(map[msg.Key]int)}
	s.member = r.hub.join(r.now, groupKey{}, f, func() {})
	if r.rng.IntN(2) == 0 {
		s.member.listener = simListener{}
	}
	r.subs = append(r.subs, s)
	r.watched()
}

func (r *hubRig) sub() *simSub {
	if len(r.subs) == 0 {
		return nil
	}
	return r.subs[r.rng.IntN(len(r.subs))]
}

func (r *hubRig) leave() {
	if s := r.sub(); s != nil {
		r.hub.leave(r.now, s.member, errWatchClosed)
		r.reap()
	}
}

// reap forgets subscribers whose watch has ended: they reconcile.
func (r *hubRig) reap() {
	r.subs = slices.DeleteFunc(r.subs, func(s *simSub) bool { return s.member.err != nil })
}

func (r *hubRig) take() {
	r.reap()
	if s := r.sub(); s != nil && s.since >= 0 && !s.member.delivering {
		r.takeFor(s)
	}
}

func (r *hubRig) takeFor(s *simSub) {
	s.member.ready = false
	r.hears(s, s.member.queue.take())
}

func (r *hubRig) hears(s *simSub, hints []msg.Notification) {
	for _, n := range hints {
		if !s.filter.matches(n.Key) {
			r.fail("a subscriber of %v was told of %v", s.filter, n.Key)
		}
		told := func(at int) bool {
			c := r.log[at]
			return c.key == n.Key && c.op == n.Operation &&
				(c.op != msg.OpWrite || n.From.Value <= c.version && c.version <= n.To.Value)
		}
		for _, at := range s.due {
			// Only such a version names its commit.
			if told(at) && r.log[at].version == n.To.Value && n.To.Value > 1 {
				s.knows[n.Key] = max(s.knows[n.Key], at+1)
			}
		}
		s.due = slices.DeleteFunc(s.due, func(at int) bool { return told(at) && at < int(n.KeepFrom.Value) })
	}
}

func (r *hubRig) ask() {
	r.reap()
	s := r.sub()
	if s == nil || s.since < 0 {
		return
	}
	key := simKey(r.rng.IntN(2))
	from, to := uint64(1+r.rng.IntN(2)), msg.Some(uint64(40+r.rng.IntN(8)))
	k, f, fresh := r.hub.pages.lookup("", key, from, to, r.rng.IntN(10) == 0)
	switch {
	case k != nil:
		r.kept++
		r.seen(s, key, r.pageAge[k], s.knows[key])
	case fresh:
		r.reads = append(r.reads, &simRead{flight: f, state: -1, askers: []*simSub{s}, floors: []int{s.knows[key]}})
	default:
		r.joins++
		for _, read := range r.reads {
			if read.flight == f {
				read.askers, read.floors = append(read.askers, s), append(read.floors, s.knows[key])
			}
		}
	}
}

func (r *hubRig) seen(s *simSub, key msg.Key, state, floor int) {
	if state < floor {
		r.fail("a page of %v shows the log up to %d to one who knew of %d", key.Aggregate, state, floor)
	}
	s.knows[key] = max(s.knows[key], r.lastOf(key, state))
}

// lastOf is the place behind the last commit of the aggregate before a place.
func (r *hubRig) lastOf(key msg.Key, before int) int {
	for i := before - 1; i >= 0; i-- {
		if r.log[i].key == key {
			return i + 1
		}
	}
	return 0
}

// answer lets a read make one step: the node reads, or the page arrives.
func (r *hubRig) answer() {
	if len(r.reads) == 0 {
		return
	}
	i := r.rng.IntN(len(r.reads))
	read := r.reads[i]
	if read.state < 0 {
		read.state = len(r.log)
		return
	}
	r.reads = slices.Delete(r.reads, i, i+1)
	f := read.flight
	k := &page{key: f.key, from: f.from, to: f.to}
	r.pageAge[k] = read.state
	if r.rng.IntN(5) == 0 {
		k = nil
	}
	r.hub.pages.complete(r.now, f, k)
	for j, s := range read.askers {
		r.seen(s, f.key, read.state, read.floors[j])
	}
}

// list tells one subscriber of everything there is.
func (r *hubRig) list() {
	r.reap()
	s := r.sub()
	if s == nil {
		return
	}
	r.hub.pages.invalidateAll()
	for key := range r.versions {
		s.knows[key] = max(s.knows[key], r.lastOf(key, len(r.log)))
	}
}

func (r *hubRig) failed(c *simConn) {
	r.conns = slices.DeleteFunc(r.conns, func(x *simConn) bool { return x == c })
	r.hub.failed(r.now, c.id, errors.New("lost"))
	r.reap()
	r.watched()
}

// pass lets time go by. Nothing is under way for more than two seconds.
func (r *hubRig) pass(d time.Duration) {
	r.now = r.now.Add(d)
	for _, c := range slices.Clone(r.conns) {
		for len(c.outbox) > 0 && r.now.Sub(c.outbox[0].sent) > 2*time.Second {
			r.handOver(c)
		}
		if c.from >= 0 && r.now.Sub(c.lastSent) >= 5*time.Second {
			c.outbox, c.lastSent = append(c.outbox, simFrame{sent: r.now}), r.now
		}
	}
	if at, ok := r.hub.wakeAt(); ok && !r.now.Before(at) {
		r.hub.tick(r.now)
		if again, ok := r.hub.wakeAt(); ok && !r.now.Before(again) {
			r.fail("after a tick at %v another is due at %v", r.now, again)
		}
	}
	r.reap()
	r.watched()
}

func (r *hubRig) effects() {
	for len(r.hub.effects) > 0 {
		e := r.hub.effects[0]
		r.hub.effects = r.hub.effects[1:]
		if e.request == nil {
			r.conns = slices.DeleteFunc(r.conns, func(c *simConn) bool { return c.id == e.id })
			continue
		}
		f := requestFilter(e.request)
		if !f.fits() {
			r.fail("a request of %d ids", len(f.orgs)+len(f.types)+len(f.aggregates))
		}
		r.conns = append(r.conns, &simConn{id: e.id, request: e.request, from: -1})
	}
	r.bounded()
}

func (r *hubRig) bounded() {
	live := 0
	for _, u := range r.hub.upstreams {
		if u.phase != upDraining {
			live++
		}
	}
	if live > 2*maxParts+1 {
		r.fail("%d connections for one shard", live)
	}
	if len(r.hub.pages.order) > pagesCount || r.hub.pages.bytes > pagesBytes {
		r.fail("%d pages of %d bytes are kept", len(r.hub.pages.order), r.hub.pages.bytes)
	}
}

// flush lets everything under way arrive and looks at what everybody has heard.
func (r *hubRig) flush() {
	for range 40 {
		for _, c := range slices.Clone(r.conns) {
			if c.from < 0 {
				c.from, c.told, c.lastSent = len(r.log), len(r.log), r.now
				c.outbox = append(c.outbox, simFrame{ack: true, sent: r.now})
			}
			for len(c.outbox) > 0 && slices.Contains(r.conns, c) {
				r.handOver(c)
			}
		}
		r.pass(time.Second)
	}
	for _, s := range r.subs {
		if s.since < 0 {
			r.fail("a subscriber is waiting still")
			continue
		}
		for len(r.handing) > 0 {
			r.handed()
		}
		r.takeFor(s)
		if len(s.due) > 0 {
			r.fail("%v was never told of commit %d of %d, %+v", s.filter, s.due[0], len(r.log), r.log[s.due[0]])
		}
	}
	for _, u := range r.hub.upstreams {
		if u.phase == upDraining {
			r.fail("a connection drains for ever")
		}
	}
	if len(r.hub.pages.order) > 0 {
		r.fail("pages are kept at rest")
	}
}
