package pool_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// lists is a cluster's lists: pages[shard][page], the cursor of page n being n.
type lists struct {
	pages [][][]msg.AggregateItem
	loop  bool // the last page of each shard points back to itself
}

func (l lists) reply(_ *peer, req msg.Request) msg.Response {
	var shard uint64
	var cursor msg.Opt[uint64]
	switch r := req.(type) {
	case *msg.ListOrgsRequest:
		shard, cursor = r.Shard, r.Cursor
	case *msg.ListTypesRequest:
		shard, cursor = r.Shard, r.Cursor
	case *msg.ListAggregatesRequest:
		shard, cursor = r.Shard, r.Cursor
	}
	if shard >= uint64(len(l.pages)) {
		return &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{"detail":"x","num_shards":` + string(rune('0'+len(l.pages))) + `}`}
	}
	at := cursor.Or(0)
	next := msg.Some(at + 1)
	if int(at) == len(l.pages[shard])-1 {
		next = msg.Opt[uint64]{Value: at, Set: l.loop}
	}
	items := l.pages[shard][at]
	switch req.(type) {
	case *msg.ListOrgsRequest:
		resp := &msg.ListOrgsResponse{NextCursor: next}
		for _, i := range items {
			resp.Orgs = append(resp.Orgs, i.Key.Org)
		}
		return resp
	case *msg.ListTypesRequest:
		resp := &msg.ListTypesResponse{NextCursor: next}
		for _, i := range items {
			resp.Types = append(resp.Types, msg.TypeItem{Org: i.Key.Org, Type: i.Key.Type})
		}
		return resp
	}
	return &msg.ListAggregatesResponse{Aggregates: items, NextCursor: next}
}

func alive(n, version uint64) msg.AggregateItem {
	return msg.AggregateItem{Key: keyOf(n), MinVersion: 1, MaxVersion: version, BatchCount: version}
}

func dead(n uint64) msg.AggregateItem { return msg.AggregateItem{Key: keyOf(n), Deleted: true} }

func TestListsVisitAllShardsAndNewestWins(t *testing.T) {
	l := lists{pages: [][][]msg.AggregateItem{
		{
			{alive(1, 9), dead(2), alive(3, 1)},
			{},                                  // a page may be empty and not the last
			{alive(1, 5), alive(2, 4), dead(3)}, // older: 2 was alive, 3 was dead
		},
		{{}},
		{{alive(5, 2)}, {alive(5, 1), alive(6, 1)}},
	}}
	f := serve(t, each(l.reply))
	p := open(t, plain(f))
	collect := func(only pool.ListAggregatesOptions) (items []msg.AggregateItem) {
		for item, err := range p.ListAggregates(ctx, only) {
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, item)
		}
		return items
	}
	want := []msg.AggregateItem{alive(1, 9), alive(3, 1), alive(5, 2), alive(6, 1)}
	if got := collect(pool.ListAggregatesOptions{}); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	want = slices.Insert(want, 1, dead(2))
	if got := collect(pool.ListAggregatesOptions{IncludeDeleted: true}); !slices.Equal(got, want) {
		t.Errorf("with deleted ones: got %v", got)
	}
	orgs, types := 0, 0
	for id, err := range p.ListOrgs(ctx) {
		if orgs++; err != nil || id != org {
			t.Error(id, err)
		}
	}
	for item, err := range p.ListTypes(ctx, pool.ListTypesOptions{}) {
		if types++; err != nil || item.Type != kind {
			t.Error(item, err)
		}
	}
	if orgs != 1 || types != 1 {
		t.Errorf("%d organisations, %d types: not one each", orgs, types)
	}
}

func TestShardsAreAskedForOnce(t *testing.T) {
	probes := 0
	l := lists{pages: make([][][]msg.AggregateItem, 4)}
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if r, ok := req.(*msg.ListOrgsRequest); ok && r.Shard == math.MaxUint64 {
			probes++
		}
		return l.reply(p, req)
	}))
	p := open(t, plain(f))
	for range 3 {
		if n, err := p.Shards(ctx); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	}
	if probes != 1 {
		t.Errorf("%d probes", probes)
	}
}

// A node that speaks of another number of shards makes the pool ask again.
func TestShardsAreForgottenWhenContradicted(t *testing.T) {
	shards := make(chan int, 1)
	shards <- 4
	now := 0
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		select {
		case now = <-shards:
		default:
		}
		return lists{pages: make([][][]msg.AggregateItem, now)}.reply(p, req)
	}))
	p := open(t, plain(f))
	if n, err := p.Shards(ctx); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	shards <- 2
	if _, err := p.ListOrgsPage(ctx, &msg.ListOrgsRequest{Shard: 3}); !errors.Is(err, msg.ErrRouting) {
		t.Fatal(err)
	}
	if n, err := p.Shards(ctx); n != 2 || err != nil {
		t.Error(n, err)
	}
}

func TestShardCountsThatMakeNoSense(t *testing.T) {
	for name, reply := range map[string]msg.Response{
		"none":   &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{}`},
		"zero":   &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{"num_shards":0}`},
		"absurd": &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{"num_shards":65537}`},
		"listed": &msg.ListOrgsResponse{},
	} {
		f := serve(t, each(func(*peer, msg.Request) msg.Response { return reply }))
		if n, err := open(t, plain(f)).Shards(ctx); !errors.Is(err, pool.ErrProtocol) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// A list whose cursor comes back would never end.
func TestListWithARepeatedCursorIsRefused(t *testing.T) {
	l := lists{loop: true, pages: [][][]msg.AggregateItem{{{alive(1, 1)}, {alive(2, 1)}}}}
	f := serve(t, each(l.reply))
	var items int
	var last error
	for _, err := range open(t, plain(f)).ListAggregates(ctx, pool.ListAggregatesOptions{}) {
		if err == nil {
			items++
		}
		last = err
	}
	if !errors.Is(last, pool.ErrProtocol) || items != 2 {
		t.Errorf("%d items, then %v", items, last)
	}
}

// No connection is held while the consumer works, and stopping early is fine.
func TestListHoldsNoConnection(t *testing.T) {
	l := lists{pages: [][][]msg.AggregateItem{{{alive(1, 1)}, {alive(2, 1)}}}}
	f := serve(t, each(l.reply))
	opts := plain(f)
	opts.MaxConnections = 1
	p := open(t, opts)
	for _, err := range p.ListAggregates(ctx, pool.ListAggregatesOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.ListOrgsPage(ctx, &msg.ListOrgsRequest{}); err != nil {
			t.Fatal(err)
		}
		break
	}
}

// A shard that cannot be listed ends the list with its error, once.
func TestListEndsWithAnError(t *testing.T) {
	l := lists{pages: [][][]msg.AggregateItem{{{alive(1, 1)}}, {{alive(2, 1)}}, {{alive(3, 1)}}}}
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if r, ok := req.(*msg.ListAggregatesRequest); ok && r.Shard == 1 {
			return &msg.ErrorResponse{Code: msg.CodeListAggregates, Message: "{}"}
		}
		return l.reply(p, req)
	}))
	items, failures := 0, 0
	for _, err := range open(t, plain(f)).ListAggregates(ctx, pool.ListAggregatesOptions{}) {
		if items++; err != nil {
			failures++
		}
	}
	if items != 2 || failures != 1 {
		t.Errorf("%d elements, %d of them errors", items, failures)
	}
}

// Filters reach the node, and a consumer that has enough is left alone.
func TestListFilters(t *testing.T) {
	l := lists{pages: [][][]msg.AggregateItem{{{alive(1, 1), alive(2, 1), alive(3, 1)}}}}
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		switch r := req.(type) {
		case *msg.ListTypesRequest:
			if r.Org != msg.Some(org) {
				t.Errorf("types of %v", r.Org)
			}
		case *msg.ListAggregatesRequest:
			if r.Org != msg.Some(org) || r.Type != msg.Some(kind) {
				t.Errorf("aggregates of %v, %v", r.Org, r.Type)
			}
		}
		return l.reply(p, req)
	}))
	p := open(t, plain(f))
	for _, err := range p.ListTypes(ctx, pool.ListTypesOptions{Org: msg.Some(org)}) {
		if err != nil {
			t.Error(err)
		}
	}
	seen := 0
	for _, err := range p.ListAggregates(ctx, pool.ListAggregatesOptions{Org: msg.Some(org), Type: msg.Some(kind)}) {
		if err != nil {
			t.Error(err)
		}
		if seen++; seen == 2 {
			break
		}
	}
}
