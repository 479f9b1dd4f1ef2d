package checkpointtest

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

var fenceRules = []Rule{
	{Name: "a superseded owner cannot save", Check: zombieFenced},
	{Name: "the fence comes before all else", Check: fenceFirst},
	{Name: "a save without entries checks the fence", Check: emptySave},
	{Name: "an owner of nobody's making cannot save", Check: forgedFenced},
	{Name: "fences are per subscription", Check: fencesApart},
	{Name: "an acquisition through another handle fences", Check: sharedFence, Needs: shared},
}

func zombieFenced(t testing.TB, f Fixture) {
	b := start(t, f)
	first := b.acquire(name)
	b.save(first, at(1, 1))
	second := b.acquire(name)
	b.fenced(first, at(1, 2), at(2, 1))
	b.holds(name, at(1, 1), never(2))
	b.save(second, at(1, 3))
	third := b.acquire(name)
	b.fenced(first, at(1, 4))
	b.fenced(second, at(1, 4))
	b.holds(name, at(1, 3))
	b.save(third, at(1, 4))
	b.holds(name, at(1, 4))
}

// A zombie must learn that it is one also from saves that would change
// nothing or be refused anyway: it acts on the answer.
func fenceFirst(t testing.TB, f Fixture) {
	b := start(t, f)
	zombie := b.acquire(name)
	b.save(zombie, at(1, 5))
	b.acquire(name)
	b.fenced(zombie, at(1, 5))
	b.fenced(zombie, at(1, 4))
	b.fenced(zombie)
}

func emptySave(t testing.TB, f Fixture) {
	b := start(t, f)
	first := b.acquire(name)
	b.save(first)
	second := b.acquire(name)
	b.fenced(first)
	b.save(second)
	if got := b.scan(name); len(got) != 0 {
		t.Fatalf("saves without entries stored %v", got)
	}
}

func forgedFenced(t testing.TB, f Fixture) {
	b := start(t, f)
	b.fenced(checkpoint.Owner{Name: name}, at(1, 1))
	b.fenced(checkpoint.Owner{Name: name, Epoch: 1}, at(1, 1))
	owner := b.acquire(name)
	b.fenced(checkpoint.Owner{Name: name}, at(1, 1))
	b.fenced(checkpoint.Owner{Name: name, Epoch: owner.Epoch + 1}, at(1, 1))
	b.fenced(checkpoint.Owner{Name: name, Epoch: ^uint64(0)}, at(1, 1))
	b.holds(name, never(1))
	b.save(owner, at(1, 1))
}

func fencesApart(t testing.TB, f Fixture) {
	b := start(t, f)
	one, two := b.acquire("one"), b.acquire("two")
	for range 3 {
		b.acquire("two")
	}
	b.save(one, at(1, 1))
	b.fenced(two, at(1, 1))
	b.holds("two", never(1))
}

func sharedFence(t testing.TB, f Fixture) {
	one, two := start(t, f), start(t, f)
	first := one.acquire(name)
	one.save(first, at(1, 1))
	second := two.acquire(name)
	one.fenced(first, at(1, 2))
	two.holds(name, at(1, 1))
	two.save(second, at(1, 2))
	one.holds(name, at(1, 2))
	one.save(second, at(1, 3))
	two.holds(name, at(1, 3))
}
