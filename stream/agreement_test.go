package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

func TestRelate(t *testing.T) {
	at := func(version, time uint64) standing {
		return standing{known: true, version: version, time: time, floor: 1}
	}
	gone := func(version, time uint64) standing {
		return standing{known: true, version: version, time: time, deleted: true}
	}
	for _, c := range []struct {
		name string
		a, b standing
		want relation
	}{
		{"never seen", standing{}, standing{}, equal},
		{"seen by one", at(1, 5), standing{}, ahead},
		{"the same", at(3, 5), at(3, 5), equal},
		{"another batch", at(4, 6), at(3, 5), ahead},
		{"in the same millisecond", at(4, 5), at(3, 5), ahead},
		{"deleted", gone(3, 6), at(3, 5), ahead},
		{"deleted at once", gone(3, 5), at(3, 5), ahead},
		{"begun anew with one batch", at(3, 7), gone(3, 6), ahead},
		{"trimmed", standing{known: true, version: 3, time: 5, floor: 2}, at(3, 5), ahead},
		{"another batch after the clock was set back", at(4, 5), at(3, 6), unclear},
	} {
		opposite := map[relation]relation{equal: equal, ahead: behind, unclear: unclear}
		if got, back := relate(c.a, c.b), relate(c.b, c.a); got != c.want || back != opposite[c.want] {
			t.Errorf("%s: %d and %d, want %d", c.name, got, back, c.want)
		}
	}
}

func listed(aggregate, version, time uint64) msg.AggregateItem {
	return msg.AggregateItem{Key: aggregateOf(aggregate), MaxVersion: version, MaxServerTimestamp: time}
}

func aggregateOf(aggregate uint64) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(aggregate)} }

func buried(aggregate uint64) msg.AggregateItem {
	return msg.AggregateItem{Key: aggregateOf(aggregate), Deleted: true}
}

func TestRelatePages(t *testing.T) {
	type page = []msg.AggregateItem
	for _, c := range []struct {
		name     string
		a, b     page
		want     relation
		doubtful []uint64
	}{
		{"nothing", nil, nil, equal, nil},
		{"the same", page{listed(1, 2, 5), buried(2)}, page{buried(2), listed(1, 2, 5)}, equal, nil},
		{"one batch more", page{listed(1, 2, 5), listed(2, 2, 6)}, page{listed(1, 2, 5), listed(2, 1, 4)}, ahead, nil},
		{"more of it, and another one", page{listed(1, 3, 5)}, page{listed(1, 2, 4), listed(9, 1, 1)}, ahead, nil},
		{"the first entry of an aggregate is the newest", page{listed(1, 3, 5), listed(1, 2, 4)}, page{listed(1, 3, 5), listed(1, 1, 1)}, equal, nil},
		{"each has something newer", page{listed(1, 3, 5), listed(2, 1, 1)}, page{listed(1, 2, 4), listed(2, 2, 2)}, unclear, nil},
		{"segments of trims", page{listed(1, 0, 9)}, page{listed(1, 3, 5)}, equal, nil},
		{"one more", page{listed(1, 2, 5), listed(2, 1, 6)}, page{listed(1, 2, 5)}, unclear, []uint64{2}},
		{"deleted", page{buried(1)}, page{listed(1, 2, 5)}, unclear, []uint64{1}},
		{"another life", page{listed(1, 1, 9)}, page{listed(1, 4, 5)}, unclear, []uint64{1}},
	} {
		r, doubtful := relatePages(c.a, c.b)
		if r != c.want || !slices.EqualFunc(doubtful, c.doubtful, func(k msg.Key, n uint64) bool { return k == aggregateOf(n) }) {
			t.Errorf("%s: %d, %v", c.name, r, doubtful)
		}
		back, _ := relatePages(c.b, c.a)
		if want := map[relation]relation{equal: equal, ahead: behind, unclear: unclear}[c.want]; back != want {
			t.Errorf("%s, the other way round: %d, want %d", c.name, back, want)
		}
	}
	var many page
	for n := range uint64(100) {
		many = append(many, buried(n), listed(100+n, 1, n))
	}
	r, doubtful := relatePages(many, nil)
	if r != unclear || len(doubtful) != 2*mostDoubtful || !slices.Contains(doubtful, aggregateOf(199)) || slices.Contains(doubtful, aggregateOf(100)) {
		t.Errorf("%d of 200 in doubt: %v", len(doubtful), doubtful)
	}
}

// cluster is a source of several nodes that do not tell who leads.
type cluster struct {
	Source
	details map[string]standing
	lists   map[string][]msg.AggregateItem
	away    string
	asked   []string // lists and reads
	leads   pool.Leadership
}

var errAway = errors.New("away")

func (c *cluster) Nodes() []string { return []string{"a", "b"} }

func (c *cluster) Leader(context.Context) (string, error) { return "a", nil }

func (c *cluster) Leads(context.Context, string) (pool.Leadership, error) { return c.leads, nil }

func (c *cluster) Details(_ context.Context, node string, _ msg.Key) (*msg.DetailsResponse, error) {
	s := c.details[node]
	switch {
	case node == c.away:
		return nil, errAway
	case !s.known:
		return nil, &msg.ServerError{Code: msg.CodeDetailsNotFound}
	}
	return &msg.DetailsResponse{MinVersion: s.floor, MaxVersion: s.version, LastServerTimestamp: s.time, Deleted: s.deleted}, nil
}

func (c *cluster) ListAggregatesPage(_ context.Context, node string, _ *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	if node == c.away {
		return nil, errAway
	}
	return &msg.ListAggregatesResponse{Aggregates: c.lists[node]}, nil
}

func (c *cluster) Read(_ context.Context, node string, _ *msg.ReadRequest) (*msg.ReadResponse, error) {
	c.asked = append(c.asked, "read "+node)
	return &msg.ReadResponse{}, nil
}

func (c *cluster) ReadFresh(_ context.Context, node string, _ *msg.ReadRequest) (*msg.ReadResponse, error) {
	c.asked = append(c.asked, "read "+node+" anew")
	return &msg.ReadResponse{}, nil
}

// Where no node tells who leads, the leader's word is had of the node that is ahead, past
// what was kept of its answers; of equal ones the node watched is taken. A
// node that is away may be ahead.
func TestReadsByAgreement(t *testing.T) {
	older, newer := standing{known: true, version: 1, time: 1}, standing{known: true, version: 2, time: 2}
	for _, c := range []struct {
		name, watched string
		src           cluster
		asked         []string
		err           error
	}{
		{"the other one is ahead", "a", cluster{details: map[string]standing{"a": older, "b": newer}}, []string{"read a", "read b anew"}, nil},
		{"the first one is ahead", "b", cluster{details: map[string]standing{"a": newer, "b": older}}, []string{"read a", "read a anew"}, nil},
		{"they are equal", "b", cluster{details: map[string]standing{"a": older, "b": older}}, []string{"read a", "read b anew"}, nil},
		{"none has seen it", "b", cluster{}, []string{"read a", "read b anew"}, nil},
		{"neither is ahead", "a", cluster{details: map[string]standing{"a": {known: true, version: 2, time: 1}, "b": {known: true, version: 1, time: 2}}}, []string{"read a"}, errDiffer},
		{"one is away", "a", cluster{details: map[string]standing{"a": newer}, away: "b"}, []string{"read a"}, errAway},
		{"the leader tells", "b", cluster{leads: pool.Leading}, []string{"read a"}, nil},
	} {
		src := c.src
		x := &executor{s: &Subscription{src: &src}, agreement: newAgreement(&src)}
		r := &reading{x: x, word: true, node: c.watched}
		err := r.ask(t.Context())
		if !slices.Equal(src.asked, c.asked) || !errors.Is(err, c.err) || c.err != nil && classify(err).Kind != engine.Deposed {
			t.Errorf("%s: %q, %v", c.name, src.asked, err)
		}
		if (err == nil) != (r.leads == pool.Leading) {
			t.Errorf("%s: leads %v", c.name, r.leads)
		}
	}
}

// movingOn shows something else with each list.
type movingOn struct {
	cluster
	count map[string]int
}

func (m *movingOn) ListAggregatesPage(_ context.Context, node string, _ *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	m.count[node]++
	resp := &msg.ListAggregatesResponse{Aggregates: m.lists[node], NextCursor: msg.Some(uint64(m.count[node]))}
	return resp, nil
}

// The list that counts is that of the node ahead. Where aggregates had to be asked for
// one by one, its page is from before and asked for once more.
func TestListsByAgreement(t *testing.T) {
	type lists = map[string][]msg.AggregateItem
	type details = map[string]standing
	for _, c := range []struct {
		name    string
		lists   lists
		details details
		node    string
		page    uint64 // how often it was asked for
	}{
		{"the same", lists{"a": {listed(1, 1, 1)}, "b": {listed(1, 1, 1)}}, nil, "a", 1},
		{"the other is ahead", lists{"a": {listed(1, 1, 1)}, "b": {listed(1, 2, 2)}}, nil, "b", 1},
		{"one shows it deleted", lists{"a": {listed(1, 1, 1)}, "b": {buried(1)}},
			details{"a": {known: true, version: 1, time: 1}, "b": {known: true, version: 1, time: 2, deleted: true}}, "b", 2},
		{"it is the same by now", lists{"a": {listed(1, 1, 1)}, "b": nil},
			details{"a": {known: true, version: 1, time: 1}, "b": {known: true, version: 1, time: 1}}, "a", 2},
		{"neither is ahead", lists{"a": {listed(1, 1, 1)}, "b": {buried(1)}},
			details{"a": {known: true, version: 2, time: 1}, "b": {known: true, version: 1, time: 2}}, "", 0},
	} {
		src := &movingOn{cluster{lists: c.lists, details: c.details}, make(map[string]int)}
		// One call at a time: the counts are not guarded.
		serial := &serialised{Source: src, peers: src, turn: make(chan struct{}, 1)}
		node, page, err := newAgreement(serial).page(t.Context(), &msg.ListAggregatesRequest{})
		switch {
		case c.node == "":
			if !errors.Is(err, engine.ErrLeadershipUnknown) || !errors.Is(err, errDiffer) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil || node != c.node || page.NextCursor.Value != c.page:
			t.Errorf("%s: %s %+v, %v", c.name, node, page, err)
		}
	}
}

type serialised struct {
	Source
	peers
	turn chan struct{}
}

func (s *serialised) ListAggregatesPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.Source.ListAggregatesPage(ctx, node, req)
}

// Peers are found behind a source that is shared; without them nothing is agreed on.
func TestAgreementNeedsPeers(t *testing.T) {
	src := &cluster{}
	shared := Share(src)
	defer func() {
		if err := shared.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for name, c := range map[string]struct {
		src  Source
		want bool
	}{"peers": {src, true}, "shared": {shared, true}, "none": {&oracle{}, false}} {
		a := newAgreement(c.src)
		if a.needed() {
			t.Errorf("%s: needed before a node was asked", name)
		}
		if a.noteHidden(); a.needed() != c.want {
			t.Errorf("%s: needed %v", name, a.needed())
		}
		a.hidden.Store(time.Now().Add(-2 * hiddenFor).UnixNano())
		if a.needed() {
			t.Errorf("%s: the leader is not asked for again", name)
		}
	}
}

// A source that panics on a goroutine of the agreement's panics on the caller's.
func TestEverywhereHandsPanicsOn(t *testing.T) {
	for bad := range 2 {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != "mine" {
					t.Errorf("node %d: %s", bad, got)
				}
			}()
			_ = everywhere([]string{"a", "b"}, func(i int, _ string) error {
				if i == bad {
					panic("mine")
				}
				return nil
			})
		}()
	}
}
