package stream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// hubTest drives a hub by hand; a test's clock starts at zero seconds.
type hubTest struct {
	*testing.T
	hub *hub
	now time.Time
}

func newHubTest(t *testing.T) *hubTest { return &hubTest{t, newHub(), time.Unix(0, 0)} }

// at sets the clock and lets what is due happen.
func (t *hubTest) at(d time.Duration) {
	t.now = time.Unix(0, 0).Add(d)
	if due, ok := t.hub.wakeAt(); ok && !t.now.Before(due) {
		t.hub.tick(t.now)
	}
}

func (t *hubTest) join(f watchFilter) *member {
	return t.hub.join(t.now, groupKey{}, f, func() {})
}

// opens takes the only effect, an opening, and returns its id.
func (t *hubTest) opens(f watchFilter) uint64 {
	t.Helper()
	if len(t.hub.effects) != 1 || t.hub.effects[0].request == nil {
		t.Fatalf("the effects are %+v, not one opening", t.hub.effects)
	}
	e := t.hub.effects[0]
	t.hub.effects = nil
	if got := requestFilter(e.request); fmt.Sprint(got) != fmt.Sprint(f) {
		t.Fatalf("opened %v, want %v", got, f)
	}
	return e.id
}

// does checks that the effects are the closing of ids.
func (t *hubTest) closes(ids ...uint64) {
	t.Helper()
	var got []uint64
	for _, e := range t.hub.effects {
		if e.request != nil {
			t.Fatalf("opened %+v", e.request)
		}
		got = append(got, e.id)
	}
	t.hub.effects = nil
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		t.Fatalf("closed %v, want %v", got, ids)
	}
}

func (t *hubTest) open(m *member, f watchFilter) uint64 {
	t.Helper()
	id := t.opens(f)
	t.hub.opened(t.now, id, "node")
	if m.upstream == nil || m.err != nil {
		t.Fatalf("not joined: %+v", m)
	}
	return id
}

func types(ns ...int) watchFilter { return watchFilter{types: idsOf(ns...)} }

func aggregates(ns ...int) watchFilter { return watchFilter{aggregates: idsOf(ns...)} }

func idsOf(ns ...int) []msg.ID {
	out := make([]msg.ID, len(ns))
	for i, n := range ns {
		out[i] = msg.IDFromUint64(uint64(n))
	}
	return distinct(out, msg.ID.Compare)
}

func hint(typ int, from, to uint64) msg.Notification {
	key := msg.Key{Type: msg.IDFromUint64(uint64(typ)), Aggregate: msg.IDFromUint64(7)}
	return msg.Notification{Key: key, Operation: msg.OpWrite, From: msg.Some(from), To: msg.Some(to)}
}

func (t *hubTest) frame(id uint64, frame ...msg.Notification) { t.hub.frame(t.now, id, frame) }

func heardOf(m *member) int { return len(m.queue.take()) }

// A subscriber whose filter is covered joins at once; one whose filter is not
// has a connection for both opened, which the first moves to.
func TestHubJoinsAndMoves(tt *testing.T) {
	t := newHubTest(tt)
	a := t.join(types(1, 2))
	one := t.open(a, types(1, 2))
	b := t.join(types(2))
	t.closes()
	if b.upstream != a.upstream {
		t.Error("the covered one did not join at once")
	}
	c := t.join(types(3))
	two := t.opens(types(1, 2, 3))
	t.frame(one, hint(1, 5, 5))
	if heardOf(a) != 1 || heardOf(b) != 0 || c.upstream != nil {
		t.Error("a hint during the opening went astray")
	}
	t.hub.opened(t.now, two, "node")
	t.closes()
	// Both tell until the old one has caught up with the new one.
	t.frame(one, hint(1, 6, 6))
	t.frame(two, hint(3, 9, 9))
	if heardOf(a) != 1 || heardOf(c) != 1 {
		t.Error("a hint during the move was lost")
	}
	t.frame(two, hint(1, 8, 8))
	t.frame(one, hint(1, 7, 7))
	t.closes()
	t.frame(one, hint(1, 8, 8))
	t.closes(one)
	if heardOf(a) != 1 || a.upstream != t.hub.upstreams[two] || t.hub.stats.Moves != 1 {
		t.Error("not moved")
	}
}

// TestHubDrains lists the frames that prove that a draining connection has told
// everything it knew, and those that do not.
func TestHubDrains(t *testing.T) {
	const old, wide = 1, 2
	type told struct {
		at   time.Duration
		id   uint64
		hint []msg.Notification
	}
	beat := []msg.Notification(nil)
	write := func(from, to uint64) []msg.Notification { return []msg.Notification{hint(1, from, to)} }
	trim := []msg.Notification{{Key: hint(1, 0, 0).Key, Operation: msg.OpTrimStart, KeepFrom: msg.Some(uint64(9)), From: msg.Some(uint64(9)), To: msg.Some(uint64(9))}}
	for _, c := range []struct {
		name    string
		told    []told
		drained bool
	}{
		{"nothing", nil, false},
		{"one heartbeat", []told{{1, old, beat}}, false},
		{"two heartbeats at once", []told{{5, old, beat}, {5, old, beat}}, false},
		{"two heartbeats, 5 s apart", []told{{1, old, beat}, {6, old, beat}}, true},
		{"a hint and a heartbeat", []told{{1, old, write(3, 3)}, {6, old, beat}}, true},
		{"a hint between heartbeats", []told{{1, old, beat}, {5, old, write(3, 3)}, {6, old, beat}}, false},
		{"heartbeats on the other", []told{{1, wide, beat}, {6, wide, beat}}, false},
		{"the same commit, old first", []told{{0, old, write(5, 5)}, {0, wide, write(5, 5)}}, true},
		{"the same commit, new first", []told{{0, wide, write(5, 5)}, {0, old, write(5, 5)}}, true},
		{"an earlier commit", []told{{0, wide, write(5, 5)}, {0, old, write(4, 4)}}, false},
		{"an earlier commit, told later", []told{{0, old, write(4, 4)}, {0, wide, write(5, 5)}}, false},
		{"a later commit", []told{{0, wide, write(5, 5)}, {0, old, write(6, 6)}}, true},
		{"a merged one", []told{{0, wide, write(5, 9)}, {0, old, write(4, 5)}}, true},
		{"the lowest of several", []told{{0, wide, write(5, 5)}, {0, wide, write(7, 7)}, {0, old, write(5, 5)}}, true},
		{"first versions, of whatever life", []told{{0, old, write(1, 1)}, {0, wide, write(1, 1)}}, false},
		{"the first version of a later life", []told{{0, wide, write(1, 1)}, {0, old, write(5, 5)}}, false},
		{"the first version of a later life, told before", []told{{0, old, write(5, 5)}, {0, wide, write(1, 1)}}, false},
		{"merged with a first version", []told{{0, wide, write(1, 6)}, {0, old, write(5, 5)}}, false},
		{"merged with a first version, reached", []told{{0, wide, write(1, 6)}, {0, old, write(6, 6)}}, true},
		{"trims", []told{{0, wide, trim}, {0, old, trim}}, false},
		{"a trim, and a write told by the old one", []told{{0, wide, trim}, {0, old, write(9, 9)}}, false},
		{"another aggregate", []told{{0, wide, []msg.Notification{hint(2, 3, 3)}}, {0, old, write(3, 3)}}, false},
	} {
		t.Run(c.name, func(tt *testing.T) {
			t := newHubTest(tt)
			a := t.join(types(1))
			t.open(a, types(1))
			t.frame(old, hint(1, 9, 9)) // before the move: proves nothing
			t.open(t.join(types(2)), types(1, 2))
			for _, x := range c.told {
				t.at(x.at * time.Second)
				t.frame(x.id, x.hint...)
			}
			if c.drained {
				t.closes(old)
			} else {
				t.closes()
			}
		})
	}
}

func TestHubMarksAreBounded(tt *testing.T) {
	t := newHubTest(tt)
	t.open(t.join(watchFilter{types: idsOf(1)}), types(1))
	t.open(t.join(types(2)), types(1, 2))
	for i := range 3 * maxDrainVersions {
		n := hint(1, 5, 5)
		n.Key.Aggregate = msg.IDFromUint64(uint64(i))
		t.frame(uint64(1+i%2), n)
	}
	if d := t.hub.upstreams[1].drain; len(d.oldVersions) != maxDrainVersions || len(d.newVersions) != maxDrainVersions {
		t.Errorf("%d and %d marks", len(d.oldVersions), len(d.newVersions))
	}
}

// The connection being left is lost, or falls silent, before it has told all:
// whoever depended on it reconciles, nobody else notices.
func TestHubGivesUpWhatDoesNotDrain(t *testing.T) {
	lost := errors.New("lost")
	for name, end := range map[string]func(t *hubTest) error{
		"lost":   func(t *hubTest) error { t.hub.failed(t.now, 1, lost); return lost },
		"silent": func(t *hubTest) error { t.at(drainTimeout); return errMoved },
	} {
		tt := t
		tt.Run(name, func(tt *testing.T) {
			t := newHubTest(tt)
			a := t.join(types(1))
			t.open(a, types(1))
			b := t.join(types(2))
			t.open(b, types(1, 2))
			want := end(t)
			t.closes(1)
			if !errors.Is(a.err, want) || b.err != nil {
				t.Errorf("they ended with %v and %v", a.err, b.err)
			}
		})
	}
}

// At another node the old connection cannot be drained by waiting.
func TestHubMoveToAnotherNodeReconciles(tt *testing.T) {
	t := newHubTest(tt)
	a := t.join(types(1))
	t.open(a, types(1))
	b := t.join(types(2))
	t.hub.opened(t.now, t.opens(types(1, 2)), "another")
	t.closes(1)
	if !errors.Is(a.err, errMoved) || b.upstream == nil || b.node != "another" {
		t.Errorf("the old one ended with %v, the new one watches %q", a.err, b.node)
	}
}

func TestHubDoesNotJoinTheSilent(tt *testing.T) {
	t := newHubTest(tt)
	a := t.join(types(1))
	t.open(a, types(1))
	t.at(staleAfter - 1)
	t.join(types(1))
	t.closes()
	t.at(staleAfter)
	c := t.join(types(1))
	t.open(c, types(1))
	if a.upstream != c.upstream {
		t.Error("those on the silent connection did not move")
	}
}

func TestHubLingersThenCloses(tt *testing.T) {
	t := newHubTest(tt)
	a := t.join(types(1))
	id := t.open(a, types(1))
	t.hub.leave(t.now, a, errWatchClosed)
	t.at(linger - 1)
	b := t.join(types(1))
	t.closes()
	t.hub.leave(t.now, b, errWatchClosed)
	t.at(2*linger - 2)
	t.closes()
	t.at(2*linger - 1)
	t.closes(id)
	if len(t.hub.groups)+len(t.hub.upstreams) > 0 || b.err != errWatchClosed {
		t.Error("something is left")
	}
}

// Nobody waits for an opening any more: it is given up, and who waits behind it
// is next.
func TestHubGivesUpAnOpeningNobodyWaitsFor(tt *testing.T) {
	t := newHubTest(tt)
	a := t.join(types(1))
	id := t.opens(types(1))
	b := t.join(types(2))
	t.hub.leave(t.now, a, errWatchClosed)
	t.at(linger)
	if len(t.hub.effects) != 2 || t.hub.effects[0].id != id || t.hub.effects[1].request == nil || b.err != nil {
		t.Errorf("the effects are %+v", t.hub.effects)
	}
}

// Subscribers that join while a connection is being opened share the next one; a
// failure reaches all subscribers that the connection was opened for.
func TestHubGathersWhoWaits(tt *testing.T) {
	t := newHubTest(tt)
	refused := errors.New("refused")
	a := t.join(types(1))
	id := t.opens(types(1))
	var rest []*member
	for n := 2; n < 12; n++ {
		rest = append(rest, t.join(types(n)))
	}
	t.closes()
	t.hub.failed(t.now, id, refused)
	if t.hub.effects[0].id != id || t.hub.effects[0].request != nil {
		t.Fatalf("%+v", t.hub.effects)
	}
	t.hub.effects = t.hub.effects[1:]
	t.open(rest[0], types(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
	for _, m := range rest {
		if m.upstream == nil {
			t.Errorf("%v waits still", m.filter)
		}
	}
	if a.err != refused {
		t.Errorf("the first ended with %v", a.err)
	}
}

// All lose their connection together; the first one back opens it for all.
func TestHubRemembersWhoLostTheirs(tt *testing.T) {
	t := newHubTest(tt)
	lost := errors.New("lost")
	a := t.join(types(1))
	t.open(a, types(1))
	b := t.join(types(2))
	two := t.open(b, types(1, 2))
	t.frame(1, hint(1, 5, 5))
	t.frame(two, hint(1, 5, 5))
	t.closes(1)
	c := t.join(types(2))
	t.hub.leave(t.now, b, errWatchClosed)
	t.hub.failed(t.now, two, lost)
	t.closes(two)
	if a.err != lost || c.err != lost || b.err != errWatchClosed {
		t.Fatalf("ended with %v, %v, %v", a.err, b.err, c.err)
	}
	t.open(t.join(types(1)), types(1, 2))
	t.hub.failed(t.now, 3, lost)
	t.closes(3)
	t.at(rememberLost)
	t.open(t.join(types(2)), types(2))
}

func TestHubHeartbeats(tt *testing.T) {
	t := newHubTest(tt)
	a := t.join(types(1))
	t.open(a, types(1))
	b := t.join(types(2))
	t.open(b, types(1, 2))
	beat := func(id uint64, at time.Duration, frame ...msg.Notification) [2]bool {
		a.ready, b.ready = false, false
		t.at(at)
		t.frame(id, frame...)
		return [2]bool{a.ready, b.ready}
	}
	for i, c := range []struct {
		got, want [2]bool
	}{
		{beat(2, time.Second), [2]bool{true, true}},
		{beat(2, time.Second), [2]bool{}},
		{beat(2, 2*time.Second-1), [2]bool{}},
		{beat(2, 2*time.Second-1, hint(1, 1, 1)), [2]bool{true, false}},
		{beat(2, 2*time.Second, hint(1, 2, 2)), [2]bool{true, true}},
		{beat(2, 4*time.Second, hint(3, 2, 2)), [2]bool{true, true}},
		// A connection being left is none to depend on.
		{beat(1, 6*time.Second), [2]bool{}},
	} {
		if c.got != c.want {
			t.Errorf("step %d reached %v, want %v", i, c.got, c.want)
		}
	}
}

func TestHubExpelsWhoLags(tt *testing.T) {
	t := newHubTest(tt)
	a, b := t.join(types(1)), t.join(types(1))
	id := t.open(a, types(1))
	for i := range maxPending + 1 {
		n := hint(1, 1, 1)
		n.Key.Aggregate = msg.IDFromUint64(uint64(i))
		t.frame(id, n)
		if i%100 == 0 {
			b.queue.take()
		}
		if lagging := i == maxPending; (a.err == ErrLagging) != lagging {
			t.Fatalf("with %d waiting it ended with %v", i+1, a.err)
		}
	}
	if b.err != nil || len(a.queue.pending) != 0 || t.hub.stats.Lagged != 1 || t.hub.stats.Subscribers != 1 {
		t.Errorf("the other one ended with %v; %+v", b.err, t.hub.stats)
	}
}

// Many filters: kinds apart, 48 ids a connection, eight connections, then the
// narrowest of all kinds that fits.
func TestHubWidens(tt *testing.T) {
	t := newHubTest(tt)
	var members []*member
	some := func(first, n int) watchFilter {
		var ns []int
		for i := range n {
			ns = append(ns, first+i)
		}
		f := aggregates(ns...)
		f.orgs = idsOf(1)
		return f
	}
	for i := range maxParts {
		f := some(100*i, 40)
		m := t.join(f)
		t.open(m, f)
		members = append(members, m)
	}
	last := t.join(some(1000, 40))
	id := t.open(last, watchFilter{orgs: idsOf(1)})
	for _, m := range members {
		if m.upstream != t.hub.upstreams[id] {
			t.Error("not moved to the wide one")
		}
	}
	t.join(some(2000, 5))
	t.closes()
	t.open(t.join(types(1)), types(1))
	t.open(t.join(watchFilter{}), watchFilter{})
}

func TestHubBoundsWhatDrains(tt *testing.T) {
	t := newHubTest(tt)
	first := t.join(types(0))
	f := types(0)
	t.open(first, f)
	for i := 1; i <= maxDraining+1; i++ {
		f = cover(f, types(i))
		m := t.join(f)
		id := t.opens(f)
		t.hub.opened(t.now, id, "node")
		if i <= maxDraining {
			t.closes()
		} else {
			t.closes(1)
		}
		if m.err != nil {
			t.Fatal(m.err)
		}
	}
	if first.err != errMoved {
		t.Errorf("the one on the oldest ended with %v", first.err)
	}
}

func TestHubPagesEndWithTheWatch(tt *testing.T) {
	t := newHubTest(tt)
	key := hint(1, 1, 1).Key
	t.join(types(1))
	id := t.opens(types(1))
	for _, c := range []struct {
		name    string
		happens func()
	}{
		{"a join", func() { t.hub.opened(t.now, id, "node") }},
		{"another join", func() { t.join(types(1)) }},
		{"a notification", func() { t.frame(id, hint(1, 1, 1)) }},
		{"a loss", func() { t.hub.failed(t.now, id, errMoved) }},
	} {
		_, under, _ := t.hub.pages.lookup("", key, 1, msg.Some(uint64(9)), false)
		c.happens()
		_, f, fresh := t.hub.pages.lookup("", key, 1, msg.Some(uint64(9)), false)
		if !fresh || under.current {
			t.Errorf("after %s a read sent before is joined", c.name)
		}
		t.hub.pages.abandon(f)
	}
}

// A deposed node's connection closes once a subscriber opens one to another node.
func TestHubLeavesTheDeposed(tt *testing.T) {
	t := newHubTest(tt)
	a := t.join(types(1))
	t.open(a, types(1))
	t.hub.noteAnswer(time.Time{}, "another", pool.Following)
	t.join(types(1))
	t.closes()
	t.hub.noteAnswer(time.Time{}, "node", pool.Following)
	b := t.join(types(1))
	t.hub.opened(t.now, t.opens(types(1)), "another")
	t.closes(1)
	if a.err != errMoved || b.node != "another" {
		t.Errorf("the old one ended with %v, the new one watches %q", a.err, b.node)
	}
	t.hub.noteAnswer(time.Time{}, "another", pool.Following)
	t.hub.noteAnswer(time.Time{}, "another", pool.Leading)
	t.join(types(1))
	t.closes()
}

// Subscribers that asked for a follower stay at theirs.
func TestHubFollowersStay(tt *testing.T) {
	t := newHubTest(tt)
	followers := groupKey{follower: true}
	var members []*member
	for i := range maxParts {
		m := t.hub.join(t.now, followers, types(i), func() {})
		e := t.hub.effects[0]
		t.hub.effects = nil
		t.hub.opened(t.now, e.id, fmt.Sprint("node ", i))
		if !e.follower || m.upstream == nil {
			t.Fatal("not opened at a follower")
		}
		members = append(members, m)
	}
	t.closes()
	for i := range maxParts {
		t.hub.noteAnswer(time.Time{}, fmt.Sprint("node ", i), pool.Following) // as followers do
	}
	t.hub.join(t.now, followers, types(0), func() {})
	t.closes()
	t.hub.join(t.now, followers, types(99), func() {})
	t.hub.opened(t.now, t.hub.effects[0].id, "one more")
	if members[0].err != errMoved || t.hub.effects[1].request != nil {
		t.Error("followers without end")
	}
}

// Pages of the presumed leader are shared once the node has said that it leads, and
// only while it says so.
func TestHubSharesTheLeadersWord(t *testing.T) {
	h := newHub()
	key := hint(1, 1, 1).Key
	for i, c := range []struct {
		happens func()
		a, b    bool // whether their answers are shared
		joined  bool // by those who ask a later
	}{
		{func() {}, true, true, true},
		{func() { h.noteLeader("a") }, false, true, false},
		{func() { h.noteAnswer(time.Time{}, "b", pool.Leading) }, false, true, true},
		{func() { h.noteAnswer(time.Time{}, "a", pool.Leading) }, true, true, false},
		{func() { h.noteAnswer(time.Time{}, "a", pool.Leading) }, true, true, true},
		{func() { h.noteLeader("a") }, true, true, true},
		{func() { h.noteAnswer(time.Time{}, "b", pool.Following) }, true, true, true},
		{func() { h.noteAnswer(time.Time{}, "a", pool.Following) }, false, true, false},
		{func() { h.noteAnswer(time.Time{}, "a", pool.Leading) }, true, true, false},
		{func() { h.noteAnswer(time.Time{}, "a", pool.LeadershipUnknown) }, false, true, false},
		{func() { h.noteAnswer(time.Time{}, "a", pool.Leading) }, true, true, false},
		{func() { h.noteLeader("b") }, true, false, false},
	} {
		_, before, _ := h.pages.lookup("a", key, 1, openEnd, false)
		c.happens()
		if h.mayShare("a") != c.a || h.mayShare("b") != c.b {
			t.Errorf("step %d: shares %v, %v", i, h.mayShare("a"), h.mayShare("b"))
		}
		_, after, _ := h.pages.lookup("a", key, 1, openEnd, false)
		if (before == after) != c.joined {
			t.Errorf("step %d: joined %v", i, before == after)
		}
	}
}
