package stream

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/celeriant/celeriant-go/msg"
)

func drawFilter(t *rapid.T, name string) watchFilter {
	var f watchFilter
	for _, set := range f.sets() {
		if rapid.Bool().Draw(t, name+" restricts") {
			*set = idsOf(rapid.SliceOfN(rapid.IntRange(0, 4), 1, 4).Draw(t, name)...)
		}
	}
	return f
}

// A filter covers another exactly if it lets through whatever that one does.
func TestFilterAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawFilter(t, "a"), drawFilter(t, "b")
		both, united := cover(a, b), a
		ok := united.tryUnite(&b)
		if !both.covers(&a) || !both.covers(&b) || ok && (!united.covers(&a) || !united.covers(&b)) {
			t.Fatalf("%v and %v: %v covers not both", a, b, both)
		}
		within := true
		for org := range 6 {
			for typ := range 6 {
				for agg := range 6 {
					key := msg.Key{Org: idsOf(org)[0], Type: idsOf(typ)[0], Aggregate: idsOf(agg)[0]}
					if b.matches(key) && !a.matches(key) {
						within = false
					}
					if a.matches(key) && !both.matches(key) {
						t.Fatalf("%v lets %v through, the cover does not", a, key)
					}
				}
			}
		}
		if a.covers(&b) != within {
			t.Fatalf("%v covers %v: %v", a, b, a.covers(&b))
		}
	})
}

func TestWidenedFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f watchFilter
		for _, set := range f.sets() {
			for range rapid.IntRange(0, 60).Draw(t, "ids") {
				*set = append(*set, msg.IDFromUint64(uint64(len(*set))))
			}
		}
		wide := f.widened()
		if !wide.fits() || !wide.covers(&f) || f.fits() && !f.covers(&wide) {
			t.Fatalf("%d, %d and %d ids become %d, %d and %d", len(f.orgs), len(f.types), len(f.aggregates),
				len(wide.orgs), len(wide.types), len(wide.aggregates))
		}
	})
}

func TestWhatIsShared(t *testing.T) {
	shard := msg.Some(uint64(1))
	plain := msg.WatchRequest{Shard: shard}
	zero := msg.WatchRequest{Shard: shard, LatencyMS: msg.Some(uint64(0))}
	slow := msg.WatchRequest{Shard: shard, LatencyMS: msg.Some(uint64(5))}
	other := msg.WatchRequest{Shard: msg.Some(uint64(2))}
	group := func(follower bool, req *msg.WatchRequest) groupKey { k, _, _ := sharedFilter(follower, req); return k }
	leader := group(false, &plain)
	if leader != group(false, &zero) || leader == group(true, &plain) || leader == group(false, &slow) || leader == group(false, &other) {
		t.Error("shared where nodes, latencies or shards differ, or not where they do not")
	}
	for _, c := range []struct {
		name   string
		req    msg.WatchRequest
		shared bool
	}{
		{"a shard", msg.WatchRequest{Shard: shard}, true},
		{"with filters", msg.WatchRequest{Shard: shard, Orgs: idsOf(1), Types: idsOf(2, 3), LatencyMS: msg.Some(uint64(2000))}, true},
		{"no shard", msg.WatchRequest{Orgs: idsOf(1)}, false},
		{"an empty set", msg.WatchRequest{Shard: shard, Types: []msg.ID{}}, false},
		{"operations", msg.WatchRequest{Shard: shard, Operations: []msg.Operation{msg.OpWrite}}, false},
		{"a latency the reference server refuses", msg.WatchRequest{Shard: shard, LatencyMS: msg.Some(uint64(2001))}, false},
	} {
		if _, _, ok := sharedFilter(false, &c.req); ok != c.shared {
			t.Errorf("%s: shared %v", c.name, ok)
		}
	}
}
