package engine

import (
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"pgregory.net/rapid"
)

// A keySet is a set, and a trace holds at least what was added to it.
func TestSetsOfKeys(t *testing.T) {
	id := rapid.Map(rapid.Uint64Range(0, 5), msg.IDFromUint64)
	rapid.Check(t, func(t *rapid.T) {
		var set keySet
		var tr trace
		want := make(map[msg.Key]bool)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				key := msg.Key{Org: id.Draw(t, "org"), Type: id.Draw(t, "type"), Aggregate: id.Draw(t, "aggregate")}
				if set.add(key) == want[key] {
					t.Fatalf("%v is new: %v", key, want[key])
				}
				tr.add(key)
				want[key] = true
			},
			"remove": func(t *rapid.T) {
				key := msg.Key{Org: id.Draw(t, "org"), Type: id.Draw(t, "type"), Aggregate: id.Draw(t, "aggregate")}
				set.remove(key)
				delete(want, key)
			},
		})
		for key := range want {
			if !tr.has(key) {
				t.Fatalf("the trace has lost %v", key)
			}
		}
	})
}

func TestTraceIsBounded(t *testing.T) {
	key := func(n int) msg.Key { return msg.Key{Org: msg.IDFromUint64(1), Aggregate: msg.IDFromUint64(uint64(n))} }
	var tr trace
	for n := range 100_000 {
		tr.add(key(n))
	}
	wrong := 0
	for n := range 100_000 {
		if !tr.has(key(n)) {
			t.Fatalf("%d is lost", n)
		}
		if tr.has(key(-n - 1)) {
			wrong++
		}
	}
	if wrong > 5000 {
		t.Errorf("%d of 100,000 others are reported", wrong)
	}
}
