package lease

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is partitions and who holds them, while members come and go.
type assignWorld struct {
	def     Definition
	members []string
	holder  map[uint32]string
	frozen  map[uint32]bool
	born    int
	fresh   bool // all members came before anybody held anything
}

func (w *assignWorld) target() map[uint32]string {
	n := w.def.Count()
	w.members = slices.Sorted(slices.Values(w.members))
	holder, frozen := make([]int, n), make([]bool, n)
	for p := range n {
		holder[p] = slices.Index(w.members, w.holder[p])
		frozen[p] = w.frozen[p]
	}
	target := make(map[uint32]string)
	for p, m := range assign(w.def, w.members, holder, frozen) {
		if m != nobody {
			target[uint32(p)] = w.members[m]
		}
	}
	return target
}

// step moves one partition to where it is to be; false if nothing is to move.
func (w *assignWorld) step(pick func(n int) int) bool {
	var wrong []uint32
	target := w.target()
	for p := range w.def.Count() {
		if holder := w.holder[p]; target[p] != holder && !w.frozen[p] {
			wrong = append(wrong, p)
		}
	}
	if len(wrong) == 0 {
		return false
	}
	p := wrong[pick(len(wrong))]
	w.holder[p] = target[p]
	return true
}

func (w *assignWorld) check(t *rapid.T) {
	count, groups := map[string]int{}, map[string]map[uint32]bool{}
	live := 0
	for p := range w.def.Count() {
		m := w.holder[p]
		if w.frozen[p] {
			continue
		}
		live++
		if m == "" {
			t.Fatalf("partition %d belongs to nobody of %v", p, w.members)
		}
		count[m]++
		if groups[m] == nil {
			groups[m] = map[uint32]bool{}
		}
		groups[m][w.def.group(p)] = true
	}
	total := int(w.def.Classes)
	if w.def.perClass() == 0 {
		total = int(w.def.Count())
	}
	widest := 0
	for _, m := range w.members {
		if n := count[m]; n < live/len(w.members) || n > (live+len(w.members)-1)/len(w.members) {
			t.Fatalf("%s has %d of %d partitions with %d members", m, n, live, len(w.members))
		}
		widest = max(widest, len(groups[m]))
	}
	if w.fresh {
		if most := (total+len(w.members)-1)/len(w.members) + 2; widest > most {
			t.Fatalf("a member touches %d of %d groups with %d members: want at most %d", widest, total, len(w.members), most)
		}
	}
}

// Members that come while nobody holds anything touch few groups each. Later moves have
// no such bound: only moves of what others hold could keep it, and these
// could go on for ever.
func TestFreshAssignmentTouchesFewGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		def, _ := Define(Rule{Known: true, Shards: rapid.Uint64Range(1, 40).Draw(t, "shards")}, 64, ByAggregate, "s", "")
		w := &assignWorld{def: def, holder: map[uint32]string{}, fresh: true}
		for i := range rapid.IntRange(1, 20).Draw(t, "members") {
			w.members = append(w.members, fmt.Sprintf("member-%d-%d", i, rapid.IntRange(0, 1000).Draw(t, "salt")))
		}
		for w.step(func(int) int { return 0 }) {
		}
		w.check(t)
	})
}

func TestAssignmentConvergesWhateverMembersDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		def, err := Define(
			Rule{Known: true, Shards: rapid.Uint64Range(1, 40).Draw(t, "shards"), Reserved: rapid.Bool().Draw(t, "reserved")},
			rapid.Uint32Range(1, 96).Draw(t, "wanted"), ByAggregate, "s", "")
		if err != nil {
			t.Fatal(err)
		}
		w := &assignWorld{def: def, holder: map[uint32]string{}, frozen: map[uint32]bool{}}
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			switch change := pick(6); {
			case change < 4 || len(w.members) < 2:
				w.born++
				w.members = append(w.members, fmt.Sprintf("member-%d", w.born))
			case change == 4:
				at := pick(len(w.members))
				gone := w.members[at]
				w.members = slices.Delete(w.members, at, at+1)
				for p, m := range w.holder {
					if m == gone {
						delete(w.holder, p)
					}
				}
			default:
				p := uint32(pick(int(def.Count())))
				if w.frozen[p] = !w.frozen[p]; w.frozen[p] {
					delete(w.holder, p)
				}
			}
			// The next change may interrupt the moves.
			moves, most := 0, 2*int(def.Count())
			if rapid.Bool().Draw(t, "interrupted") {
				most = pick(most)
			}
			for moves < most && w.step(pick) {
				moves++
			}
		}
		moves := 0
		for w.step(pick) {
			if moves++; moves > 3*int(def.Count()) {
				t.Fatalf("partitions still move after %d moves", moves)
			}
		}
		w.check(t)
	})
}

func TestAssignmentMovesWhatItMust(t *testing.T) {
	// At rest with m members, one more takes its quota and hardly anything else moves;
	// one that leaves gives its own away and nothing else moves.
	rapid.Check(t, func(t *rapid.T) {
		def, _ := Define(Rule{Known: true, Shards: rapid.Uint64Range(1, 8).Draw(t, "shards")}, 64, ByAggregate, "s", "")
		w := &assignWorld{def: def, holder: map[uint32]string{}}
		first := func(int) int { return 0 }
		for i := range rapid.IntRange(1, 12).Draw(t, "members") {
			w.members = append(w.members, fmt.Sprintf("member-%d-%d", i, rapid.IntRange(0, 1000).Draw(t, "salt")))
			moves := 0
			for w.step(first) {
				if moves++; moves > 1000 {
					t.Fatalf("partitions move for ever with %d members", len(w.members))
				}
			}
			need := int(def.Count()) / len(w.members)
			if i == 0 {
				need = int(def.Count())
			}
			if moves > 3*need+2 {
				t.Fatalf("member %d of %d: %d partitions moved, its share is %d", i, len(w.members), moves, need)
			}
			w.check(t)
		}
	})
}

func TestAssignmentAtRestMovesNothing(t *testing.T) {
	def, _ := Define(Rule{Known: true, Shards: 4}, 64, ByAggregate, "s", "")
	w := &assignWorld{def: def, holder: map[uint32]string{}, members: []string{"a", "b", "c"}}
	for w.step(func(int) int { return 0 }) {
	}
	if w.step(func(int) int { return 0 }) {
		t.Fatal("something moves although nothing changed")
	}
}
