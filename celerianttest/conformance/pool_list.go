package conformance

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var listRules = []rule{
	{name: "list_organisations", check: listOrgs},
	{name: "list_types", check: listTypes},
	{name: "list_aggregates", check: listAggregates},
	{name: "list_deleted", check: listDeleted},
	{name: "list_unknown_shard", check: listUnknownShard},
}

func listOrgs(t *testing.T, w *world) {
	want := map[msg.ID]bool{}
	for range 5 {
		key := w.key()
		key.Org = randomID()
		want[key.Org] = true
		w.write(t, key, "x")
	}
	for org, err := range w.pool.ListOrgs(t.Context()) {
		done(t, err)
		delete(want, org)
	}
	same(t, "organisations not listed", len(want), 0)
}

func listTypes(t *testing.T, w *world) {
	want := map[msg.TypeItem]bool{}
	for range 5 {
		key := w.key()
		key.Type = randomID()
		want[msg.TypeItem{Org: key.Org, Type: key.Type}] = true
		w.write(t, key, "x")
	}
	got := map[msg.TypeItem]bool{}
	for item, err := range w.pool.ListTypes(t.Context(), pool.ListTypesOptions{Org: msg.Some(w.org)}) {
		done(t, err)
		got[item] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Of 20 aggregates on all shards each is listed once, with what its log holds.
func listAggregates(t *testing.T, w *world) {
	other := randomID()
	want := map[msg.Key]int{}
	for i := range 20 {
		key := w.key()
		if i%4 == 0 {
			key.Type = other
		}
		want[key] = 1 + i%3
		for range want[key] {
			w.write(t, key, "12345", "67890")
		}
		if want[key] == 3 {
			w.trim(t, key, 2)
		}
	}
	check := func(name string, only pool.ListAggregatesOptions, includes func(msg.Key) bool) {
		t.Helper()
		got := map[msg.Key]bool{}
		for item, err := range w.pool.ListAggregates(t.Context(), only) {
			done(t, err)
			n := want[item.Key]
			if got[item.Key] || n == 0 || !includes(item.Key) {
				t.Errorf("%s: %v is listed", name, item.Key)
			}
			got[item.Key] = true
			checkItem(t, w, item, n)
		}
		for key := range want {
			if includes(key) && !got[key] {
				t.Errorf("%s: %v is not listed", name, key)
			}
		}
	}
	check("organisation", pool.ListAggregatesOptions{Org: msg.Some(w.org)}, func(msg.Key) bool { return true })
	check("organisation and type", pool.ListAggregatesOptions{Org: msg.Some(w.org), Type: msg.Some(other)}, func(k msg.Key) bool { return k.Type == other })
	check("type", pool.ListAggregatesOptions{Type: msg.Some(other)}, func(k msg.Key) bool { return k.Type == other })
	check("nothing", pool.ListAggregatesOptions{Org: msg.Some(randomID())}, func(msg.Key) bool { return false })
}

func checkItem(t *testing.T, w *world, item msg.AggregateItem, batches int) {
	t.Helper()
	floor := uint64(1)
	if batches == 3 {
		floor = 2
	}
	newest := w.read(t, item.Key, msg.ReadFilters{From: uint64(batches)}).Batches[0]
	if item.Deleted || item.MinVersion != floor || item.MaxVersion != uint64(batches) || item.MaxServerTimestamp != newest.ServerTimestamp {
		t.Errorf("of %d batches, the newest at %d, floor %d: %+v", batches, newest.ServerTimestamp, floor, item)
	}
	// A batch takes 20 bytes, an event 50 and its payload.
	if size := uint64(batches) * (20 + 2*(50+5)); item.BatchCount != uint64(batches) || item.UncompressedSize != size {
		t.Errorf("%d batches of %d bytes, want %d of %d", item.BatchCount, item.UncompressedSize, batches, size)
	}
	if item.MinEventTimestamp|item.MaxEventTimestamp|item.MinEventSeq|item.MaxEventSeq|item.MinServerTimestamp != 0 {
		t.Errorf("fields that are always 0: %+v", item)
	}
}

func listDeleted(t *testing.T, w *world) {
	gone, back, fresh := w.grown(t, 3), w.grown(t, 3), w.grown(t, 3)
	for _, key := range []msg.Key{gone, back, fresh} {
		w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: key == back})
	}
	w.write(t, back, "4")
	w.write(t, fresh, "1")
	list := func(deleted bool) (items []msg.AggregateItem) {
		for item, err := range w.pool.ListAggregates(t.Context(), pool.ListAggregatesOptions{Org: msg.Some(w.org), IncludeDeleted: deleted}) {
			done(t, err)
			items = append(items, item)
		}
		slices.SortFunc(items, func(a, b msg.AggregateItem) int { return cmp.Compare(a.MaxVersion, b.MaxVersion) })
		return items
	}
	same(t, "alive", len(list(false)), 2)
	all := list(true)
	if len(all) != 3 {
		t.Fatalf("listed: %+v", all)
	}
	same(t, "deleted item", all[0], msg.AggregateItem{Deleted: true, Key: gone})
	// A fresh life is listed with the highest version the aggregate ever had.
	same(t, "fresh", all[1].Key, fresh)
	same(t, "fresh version", all[1].MaxVersion, 3)
	same(t, "fresh batches", all[1].BatchCount, 1)
	same(t, "continued", all[2].Key, back)
	same(t, "continued version", all[2].MaxVersion, 4)
}

func listUnknownShard(t *testing.T, w *world) {
	_, err := w.pool.ListAggregatesPage(t.Context(), &msg.ListAggregatesRequest{Shard: w.shards})
	same(t, "shards", refused(t, err, msg.CodeRouting).NumShards, msg.Some(w.shards))
	_, err = w.pool.ListOrgsPage(t.Context(), &msg.ListOrgsRequest{Shard: w.shards})
	refused(t, err, msg.CodeRouting)
	_, err = w.pool.ListTypesPage(t.Context(), &msg.ListTypesRequest{Shard: w.shards})
	refused(t, err, msg.CodeRouting)
}
