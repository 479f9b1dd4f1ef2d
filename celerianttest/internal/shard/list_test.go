package shard_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// aggregates lists the whole shard and keeps the first, newest, entry of each
// aggregate, by aggregate id.
func (n *node) aggregates(t *testing.T) map[uint64]msg.AggregateItem {
	t.Helper()
	all := map[uint64]msg.AggregateItem{}
	for _, page := range n.pages(t, msg.ListAggregatesRequest{}) {
		for _, item := range page.Aggregates {
			_, number := item.Key.Aggregate.Uint64s()
			if _, known := all[number]; !known {
				all[number] = item
			}
		}
	}
	return all
}

// pages follows the cursor to the end.
func (n *node) pages(t *testing.T, req msg.ListAggregatesRequest) []*msg.ListAggregatesResponse {
	t.Helper()
	var pages []*msg.ListAggregatesResponse
	for range 1000 {
		resp, no := n.ListAggregates(&req)
		n.do(no)
		pages = append(pages, resp)
		if !resp.NextCursor.Set {
			return pages
		}
		req.Cursor = resp.NextCursor
	}
	t.Fatal("a list without end")
	return nil
}

// entries shows a page in one line: aggregate×batches@min-max, † for deleted.
func entries(p *msg.ListAggregatesResponse) string {
	line := ""
	for _, a := range p.Aggregates {
		_, number := a.Key.Aggregate.Uint64s()
		if a.Deleted {
			line += fmt.Sprintf("%d† ", number)
			continue
		}
		line += fmt.Sprintf("%d×%d@%d-%d ", number, a.BatchCount, a.MinVersion, a.MaxVersion)
	}
	return line
}

// Section 8: which fields an entry fills.
func TestListEntry(t *testing.T) {
	n := newNode(t, shard.Options{})
	n.add(1, 1)
	n.add(1, 2, 3)
	const size = (20 + 50 + 2) + (20 + 2*(50+2)) // payloads of two bytes
	want := msg.AggregateItem{Key: key(1), BatchCount: 2, MinVersion: 1, MaxVersion: 2, MaxServerTimestamp: 2,
		CompressedSize: size, UncompressedSize: size}
	if got := n.aggregates(t)[1]; got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	n.do(n.trim(1, 2))
	want.MinVersion = 2
	if got := n.aggregates(t)[1]; got != want {
		t.Errorf("a trim raises the floor only:\n got %+v\nwant %+v", got, want)
	}
	n.do(n.delete(1, true, false))
	if got := n.aggregates(t)[1]; got != (msg.AggregateItem{Key: key(1), Deleted: true}) {
		t.Errorf("deleted: %+v", got)
	}
	n.add(1, 4)
	if got := n.aggregates(t)[1]; got.Deleted || got.BatchCount != 1 || got.UncompressedSize != 72 || got.MaxServerTimestamp != n.clock {
		t.Errorf("a new life counts from its beginning: %+v", got)
	}
}

// Ids and initialisation vectors of events count with their bytes.
func TestListSizes(t *testing.T) {
	n := newNode(t, shard.Options{})
	_, no := n.write(msg.AggregateWrite{Key: key(1), Events: []msg.Event{
		{Major: 1, EventID: msg.Some(id(1))}, {Major: 1, IV: msg.Some(msg.IV{})}, {Major: 1}}})
	n.do(no)
	if got := n.aggregates(t)[1].UncompressedSize; got != 20+3*50+16+12 {
		t.Errorf("size %d", got)
	}
}

// Section 8: filters are independent and ANDed; orgs and types of deleted
// aggregates stay.
func TestListFilters(t *testing.T) {
	n := newNode(t, shard.Options{})
	for org := uint64(1); org <= 2; org++ {
		for kind := uint64(1); kind <= 2; kind++ {
			_, no := n.write(msg.AggregateWrite{Key: msg.Key{Org: id(org), Type: id(kind), Aggregate: id(10*org + kind)}, Events: events(1)})
			n.do(no)
		}
	}
	n.do(n.deleteAll(msg.AggregateDelete{Key: msg.Key{Org: id(1), Type: id(1), Aggregate: id(11)}}))
	one, none := msg.Some(id(1)), msg.None[msg.ID]()
	for _, tt := range []struct {
		org, kind msg.Opt[msg.ID]
		want      string
	}{
		{none, none, "11† 12×1@1-1 21×1@1-1 22×1@1-1 "},
		{one, none, "11† 12×1@1-1 "},
		{none, one, "11† 21×1@1-1 "},
		{one, one, "11† "},
		{msg.Some(id(9)), none, ""},
	} {
		p := n.pages(t, msg.ListAggregatesRequest{Org: tt.org, Type: tt.kind})
		expect(t, "aggregates", entries(p[0]), tt.want)
	}
	orgs, _ := n.ListOrgs(&msg.ListOrgsRequest{})
	if !slices.Equal(orgs.Orgs, []msg.ID{id(1), id(2)}) || orgs.NextCursor.Set {
		t.Errorf("orgs: %+v", orgs)
	}
	for want, org := range map[int]msg.Opt[msg.ID]{4: none, 2: one, 0: msg.Some(id(9))} {
		types, _ := n.ListTypes(&msg.ListTypesRequest{Org: org})
		if len(types.Types) != want {
			t.Errorf("types of %v: %+v, want %d", org, types.Types, want)
		}
	}
}

// segmented makes log segments of three batches of one event each.
func segmented(t *testing.T, o shard.Options) *node {
	o.SegmentBytes = 1000
	return newNode(t, o)
}

func (n *node) list(t *testing.T) []string {
	t.Helper()
	var lines []string
	for _, p := range n.pages(t, msg.ListAggregatesRequest{}) {
		lines = append(lines, entries(p))
	}
	return lines
}

// Section 8: the active segment whole on page one, whatever the page size;
// then older segments, each in ascending order, while the page is short; an
// aggregate recurs on the pages of its older segments.
func TestListPages(t *testing.T) {
	for _, tt := range []struct {
		pageSize int
		want     []string
	}{
		{1, []string{"7×1@1-1 9×1@1-2 ", "4×1@1-2 ", "8×1@1-1 ", "9×1@1-1 ", "1×1@1-1 ", "2×1@1-1 ", "6×1@1-1 ", "3×1@1-1 ", "4×1@1-1 ", "5×1@1-1 "}},
		{3, []string{"7×1@1-1 9×1@1-2 4×1@1-2 ", "8×1@1-1 9×1@1-1 1×1@1-1 ", "2×1@1-1 6×1@1-1 3×1@1-1 ", "4×1@1-1 5×1@1-1 "}},
		{2000, []string{"7×1@1-1 9×2@1-2 4×2@1-2 8×1@1-1 1×1@1-1 2×1@1-1 6×1@1-1 3×1@1-1 5×1@1-1 "}},
	} {
		n := segmented(t, shard.Options{ListPageSize: tt.pageSize})
		for _, aggregate := range []uint64{5, 4, 3, 6, 2, 1, 4, 9, 8, 7, 9} {
			n.add(aggregate, 1)
		}
		if got := n.list(t); !slices.Equal(got, tt.want) {
			t.Errorf("page size %d:\n got %q\nwant %q", tt.pageSize, got, tt.want)
		}
	}
}

// Section 8: on one page the newest segment decides what an aggregate is, and
// what lies behind a delete belongs to a former life.
func TestListAcrossSegments(t *testing.T) {
	fill := func(n *node) {
		for range 3 {
			n.add(99, 1)
		}
	}
	for _, tt := range []struct {
		name string
		then func(n *node)
		want msg.AggregateItem
	}{
		{"written", func(n *node) { n.add(1, 3) },
			msg.AggregateItem{Key: key(1), BatchCount: 3, MinVersion: 1, MaxVersion: 3, MaxServerTimestamp: 6, CompressedSize: 216, UncompressedSize: 216}},
		{"trimmed", func(n *node) { n.do(n.trim(1, 2)) },
			msg.AggregateItem{Key: key(1), BatchCount: 2, MinVersion: 2, MaxVersion: 2, MaxServerTimestamp: 2, CompressedSize: 144, UncompressedSize: 144}},
		{"deleted", func(n *node) { n.do(n.delete(1, true, false)) }, msg.AggregateItem{Key: key(1), Deleted: true}},
		{"deleted and begun again", func(n *node) { n.do(n.delete(1, true, false)); n.add(1, 3) },
			msg.AggregateItem{Key: key(1), BatchCount: 1, MinVersion: 1, MaxVersion: 2, MaxServerTimestamp: 7, CompressedSize: 72, UncompressedSize: 72}},
		{"deleted, begun again a segment later", func(n *node) { n.do(n.delete(1, true, false)); fill(n); fill(n); n.add(1, 3) },
			msg.AggregateItem{Key: key(1), BatchCount: 1, MinVersion: 1, MaxVersion: 2, MaxServerTimestamp: 13, CompressedSize: 72, UncompressedSize: 72}},
		{"continued a segment later", func(n *node) { n.do(n.delete(1, true, true)); fill(n); fill(n); n.add(1, 3) },
			msg.AggregateItem{Key: key(1), BatchCount: 1, MinVersion: 1, MaxVersion: 3, MaxServerTimestamp: 13, CompressedSize: 72, UncompressedSize: 72}},
		{"begun again, then written a segment later", func(n *node) { n.do(n.delete(1, true, false)); n.add(1, 3); fill(n); n.add(1, 4) },
			msg.AggregateItem{Key: key(1), BatchCount: 2, MinVersion: 1, MaxVersion: 3, MaxServerTimestamp: 11, CompressedSize: 144, UncompressedSize: 144}},
	} {
		n := segmented(t, shard.Options{})
		n.add(1, 1)
		n.add(1, 2)
		fill(n)
		tt.then(n)
		if got := n.aggregates(t)[1]; got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

// Section 8: a cursor no page ended with is an empty last page.
func TestInventedCursors(t *testing.T) {
	n := newNode(t, shard.Options{})
	n.add(1, 1)
	for _, cursor := range []uint64{0, 1, 5, 1000000, 1 << 32, 7<<32 + 1, ^uint64(0), 1<<63 + 99} {
		at := msg.Some(cursor)
		a, _ := n.ListAggregates(&msg.ListAggregatesRequest{Cursor: at})
		o, _ := n.ListOrgs(&msg.ListOrgsRequest{Cursor: at})
		ty, _ := n.ListTypes(&msg.ListTypesRequest{Cursor: at})
		if len(a.Aggregates)+len(o.Orgs)+len(ty.Types) > 0 || a.NextCursor.Set || o.NextCursor.Set || ty.NextCursor.Set {
			t.Errorf("cursor %d: %+v %+v %+v", cursor, a, o, ty)
		}
	}
}

// Orgs and types are paged like aggregates.
func TestListOrgsAndTypesPaged(t *testing.T) {
	n := segmented(t, shard.Options{ListPageSize: 2})
	for i := range uint64(12) {
		_, no := n.write(msg.AggregateWrite{Key: msg.Key{Org: id(20 - i), Type: id(i % 2), Aggregate: id(1)}, Events: events(1)})
		n.do(no)
	}
	orgs, types := map[msg.ID]int{}, map[msg.TypeItem]int{}
	for req := (msg.ListOrgsRequest{}); ; {
		p, _ := n.ListOrgs(&req)
		for _, org := range p.Orgs {
			orgs[org]++
		}
		if req.Cursor = p.NextCursor; !req.Cursor.Set {
			break
		}
	}
	pages := 0
	for req := (msg.ListTypesRequest{}); ; pages++ {
		p, _ := n.ListTypes(&req)
		for _, item := range p.Types {
			types[item]++
		}
		if req.Cursor = p.NextCursor; !req.Cursor.Set {
			break
		}
	}
	if len(orgs) != 12 || len(types) != 12 || pages < 3 {
		t.Errorf("%d orgs, %d types, %d pages", len(orgs), len(types), pages)
	}
}

// A list never exceeds the response cap: the active segment is then paged in
// order of entry, and being sealed meanwhile neither loses nor repeats any.
func TestListCapped(t *testing.T) {
	n := segmented(t, shard.Options{MaxResponseSize: 250}) // one aggregate per page
	for _, aggregate := range []uint64{3, 2, 1} {
		n.add(aggregate, 1)
	}
	var got []string
	req := msg.ListAggregatesRequest{}
	for {
		p, no := n.ListAggregates(&req)
		n.do(no)
		got = append(got, entries(p))
		if req.Cursor = p.NextCursor; !req.Cursor.Set {
			break
		}
		n.add(50, 1) // seals the segment during the walk
	}
	if want := []string{"3×1@1-1 ", "2×1@1-1 ", "1×1@1-1 "}; !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

// Section 8: lists show what is committed only.
func TestListShowsCommittedOnly(t *testing.T) {
	n := newNode(t, shard.Options{})
	n.add(1, 1)
	if _, no := n.Delete(&msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key(1)}}}, 5); no != nil {
		t.Fatal(no)
	}
	expect(t, "before", n.list(t)[0], "1×1@1-1 ")
	n.Commit(n.Tail())
	expect(t, "after", n.list(t)[0], "1† ")
}
