package requests

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var listRules = []world.Rule{
	{Name: "list_organisations", Check: listOrgs},
	{Name: "list_types", Check: listTypes},
	{Name: "list_aggregates", Check: listAggregates},
	{Name: "list_deleted", Check: listDeleted},
	{Name: "list_unknown_shard", Check: listUnknownShard},
}

func listOrgs(t *testing.T, w *world.World) {
	want := map[msg.ID]bool{}
	for range 5 {
		key := w.Key()
		key.Org = world.RandomID()
		want[key.Org] = true
		w.Write(t, key, "x")
	}
	for org, err := range w.Pool.ListOrgs(t.Context()) {
		world.Must(t, err)
		delete(want, org)
	}
	world.Same(t, "organisations not listed", len(want), 0)
}

func listTypes(t *testing.T, w *world.World) {
	want := map[msg.TypeItem]bool{}
	for range 5 {
		key := w.Key()
		key.Type = world.RandomID()
		want[msg.TypeItem{Org: key.Org, Type: key.Type}] = true
		w.Write(t, key, "x")
	}
	got := map[msg.TypeItem]bool{}
	for item, err := range w.Pool.ListTypes(t.Context(), pool.ListTypesOptions{Org: msg.Some(w.Org)}) {
		world.Must(t, err)
		got[item] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Of 20 aggregates on all shards each is listed once, with what its log holds.
func listAggregates(t *testing.T, w *world.World) {
	other := world.RandomID()
	want := map[msg.Key]int{}
	for i := range 20 {
		key := w.Key()
		if i%4 == 0 {
			key.Type = other
		}
		want[key] = 1 + i%3
		for range want[key] {
			w.Write(t, key, "12345", "67890")
		}
		if want[key] == 3 {
			w.Trim(t, key, 2)
		}
	}
	check := func(name string, only pool.ListAggregatesOptions, includes func(msg.Key) bool) {
		t.Helper()
		got := map[msg.Key]bool{}
		for item, err := range w.Pool.ListAggregates(t.Context(), only) {
			world.Must(t, err)
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
	check("organisation", pool.ListAggregatesOptions{Org: msg.Some(w.Org)}, func(msg.Key) bool { return true })
	check("organisation and type", pool.ListAggregatesOptions{Org: msg.Some(w.Org), Type: msg.Some(other)}, func(k msg.Key) bool { return k.Type == other })
	check("type", pool.ListAggregatesOptions{Type: msg.Some(other)}, func(k msg.Key) bool { return k.Type == other })
	check("nothing", pool.ListAggregatesOptions{Org: msg.Some(world.RandomID())}, func(msg.Key) bool { return false })
}

func checkItem(t *testing.T, w *world.World, item msg.AggregateItem, batches int) {
	t.Helper()
	floor := uint64(1)
	if batches == 3 {
		floor = 2
	}
	newest := w.Read(t, item.Key, msg.ReadFilters{From: uint64(batches)}).Batches[0]
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

func listDeleted(t *testing.T, w *world.World) {
	gone, back, fresh := w.Grown(t, 3), w.Grown(t, 3), w.Grown(t, 3)
	for _, key := range []msg.Key{gone, back, fresh} {
		w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: key == back})
	}
	w.Write(t, back, "4")
	w.Write(t, fresh, "1")
	list := func(deleted bool) (items []msg.AggregateItem) {
		for item, err := range w.Pool.ListAggregates(t.Context(), pool.ListAggregatesOptions{Org: msg.Some(w.Org), IncludeDeleted: deleted}) {
			world.Must(t, err)
			items = append(items, item)
		}
		slices.SortFunc(items, func(a, b msg.AggregateItem) int { return cmp.Compare(a.MaxVersion, b.MaxVersion) })
		return items
	}
	world.Same(t, "alive", len(list(false)), 2)
	all := list(true)
	if len(all) != 3 {
		t.Fatalf("listed: %+v", all)
	}
	world.Same(t, "deleted item", all[0], msg.AggregateItem{Deleted: true, Key: gone})
	// A fresh life is listed with the highest version the aggregate ever had.
	world.Same(t, "fresh", all[1].Key, fresh)
	world.Same(t, "fresh version", all[1].MaxVersion, 3)
	world.Same(t, "fresh batches", all[1].BatchCount, 1)
	world.Same(t, "continued", all[2].Key, back)
	world.Same(t, "continued version", all[2].MaxVersion, 4)
}

func listUnknownShard(t *testing.T, w *world.World) {
	_, err := w.Pool.ListAggregatesPage(t.Context(), &msg.ListAggregatesRequest{Shard: w.Shards})
	world.Same(t, "shards", world.Refused(t, err, msg.CodeRouting).NumShards, msg.Some(w.Shards))
	_, err = w.Pool.ListOrgsPage(t.Context(), &msg.ListOrgsRequest{Shard: w.Shards})
	world.Refused(t, err, msg.CodeRouting)
	_, err = w.Pool.ListTypesPage(t.Context(), &msg.ListTypesRequest{Shard: w.Shards})
	world.Refused(t, err, msg.CodeRouting)
}
