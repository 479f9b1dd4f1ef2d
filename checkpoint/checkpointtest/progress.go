package checkpointtest

import (
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

var progressRules = []Rule{
	{Name: "a cursor never goes back", Check: neverBack},
	{Name: "a later life is progress at any version", Check: laterLife},
	{Name: "an equal cursor changes nothing", Check: equalChangesNothing},
	{Name: "a zero cursor is not stored", Check: zeroNotStored},
	{Name: "one refused entry refuses the save", Check: refusedWhole},
	{Name: "one refused entry refuses a large save", Check: refusedWholeLarge},
	{Name: "of one key's entries the last wins", Check: lastWins},
	{Name: "one key's entries must not go back", Check: repeatedBack},
	{Name: "the caller's entries are neither kept nor changed", Check: entriesUntouched},
}

func neverBack(t testing.TB, f Fixture) {
	stored := []struct {
		name   string
		cursor checkpoint.Cursor
		below  []checkpoint.Cursor
	}{
		{"version", cursor(0, 10), []checkpoint.Cursor{{}, cursor(0, 1), cursor(0, 9), deleted(cursor(0, 9))}},
		{"deletion", deleted(cursor(0, 10)), []checkpoint.Cursor{cursor(0, 10), cursor(0, 9), deleted(cursor(0, 9))}},
		{"life", cursor(3, 2), []checkpoint.Cursor{cursor(2, 2), cursor(2, 1<<62), deleted(cursor(2, 100)), cursor(3, 1), cursor(3, 0)}},
		{"announced life", cursor(1, 0), []checkpoint.Cursor{{}, cursor(0, 1<<40), deleted(cursor(0, 7))}},
		{"high versions", cursor(0, 1<<32), []checkpoint.Cursor{cursor(0, 1<<32-1), cursor(0, 1<<31), cursor(0, 5)}},
		{"highest version", cursor(0, 1<<63-1), []checkpoint.Cursor{cursor(0, 1<<63-2), cursor(0, 0)}},
		{"highest life", cursor(1<<63-1, 0), []checkpoint.Cursor{cursor(1<<62, 9), cursor(1<<63-2, 9)}},
	}
	b := start(t, f)
	owner := b.acquire(name)
	for i, s := range stored {
		k := key(i)
		b.save(owner, checkpoint.Entry{Key: k, Cursor: s.cursor})
		for _, lower := range s.below {
			b.regresses(owner, checkpoint.RegressionError{Key: k, Stored: s.cursor, Offered: lower},
				checkpoint.Entry{Key: k, Cursor: lower})
		}
		b.holds(name, checkpoint.Entry{Key: k, Cursor: s.cursor})
	}
}

func laterLife(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	for _, c := range []checkpoint.Cursor{
		cursor(0, 7), cursor(0, 9), deleted(cursor(0, 9)), cursor(1, 0), deleted(cursor(1, 0)), cursor(2, 3),
		cursor(5, 0), cursor(5, 1), cursor(5, 1<<31), cursor(5, 1<<32), cursor(5, 1<<63-1), deleted(cursor(5, 1<<63-1)),
		cursor(1<<31, 1), cursor(1<<32, 0), cursor(1<<63-1, 0), cursor(1<<63-1, 1<<63-1),
	} {
		e := checkpoint.Entry{Key: key(1), Cursor: c}
		b.save(owner, e)
		b.holds(name, e)
	}
}

func equalChangesNothing(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 5), at(2, 5))
	other := at(1, 5)
	other.Cursor.Anchor.Hash++
	b.save(owner, other, at(2, 6))
	b.holds(name, at(1, 5), at(2, 6))
}

func zeroNotStored(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, never(1), at(2, 1))
	if got := b.scan(name); len(got) != 1 {
		t.Fatalf("stored %v, want only the cursor that is not zero", got)
	}
	b.holds(name, never(1), at(2, 1))
}

func refusedWhole(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 5), at(2, 5))
	want := checkpoint.RegressionError{Key: key(2), Stored: cursor(0, 5), Offered: cursor(0, 4)}
	for _, entries := range [][]checkpoint.Entry{
		{at(1, 6), at(3, 1), at(2, 4)},
		{at(2, 4), at(1, 6), at(3, 1)},
		{at(1, 6), at(2, 4), at(3, 1)},
	} {
		b.regresses(owner, want, entries...)
		b.holds(name, at(1, 5), at(2, 5), never(3))
	}
	b.save(owner, at(1, 6), at(2, 5), at(3, 1))
	b.holds(name, at(1, 6), at(2, 5), at(3, 1))
}

// Stores that write in portions must look at all of them first.
func refusedWholeLarge(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const count = 5000
	b.save(owner, at(count-1, 9))
	entries := many(0, count, 2)
	b.regresses(owner, checkpoint.RegressionError{Key: key(count - 1), Stored: cursor(0, 9), Offered: cursor(0, 2)}, entries...)
	if got := b.scan(name); len(got) != 1 {
		t.Fatalf("a refused save of %d entries left %d cursors, want the 1 of before", count, len(got))
	}
	entries[count-1] = at(count-1, 10)
	b.save(owner, entries...)
	b.holds(name, entries...)
}

func lastWins(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 1), at(2, 1), at(1, 2), at(1, 3), at(2, 1))
	b.holds(name, at(1, 3), at(2, 1))
	b.save(owner, at(1, 3), at(1, 4))
	b.holds(name, at(1, 4))
	b.save(owner, at(3, 1), checkpoint.Entry{Key: key(3), Cursor: deleted(cursor(0, 1))}, checkpoint.Entry{Key: key(3), Cursor: cursor(1, 0)})
	b.holds(name, checkpoint.Entry{Key: key(3), Cursor: cursor(1, 0)})
}

func repeatedBack(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.regresses(owner, checkpoint.RegressionError{Key: key(1), Stored: cursor(0, 5), Offered: cursor(0, 3)}, at(1, 5), at(1, 3))
	b.holds(name, never(1))
	b.save(owner, at(1, 4))
	b.regresses(owner, checkpoint.RegressionError{Key: key(1), Stored: cursor(0, 4), Offered: cursor(0, 3)}, at(1, 3), at(1, 5))
	b.holds(name, at(1, 4))
}

func entriesUntouched(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	for _, count := range []int{1, 3, 600} {
		entries := many(0, count, uint64(count))
		given := slices.Clone(entries)
		b.save(owner, given...)
		if !slices.Equal(given, entries) {
			t.Fatalf("a save of %d entries changed the caller's slice", count)
		}
		for i := range given {
			given[i] = checkpoint.Entry{}
		}
		b.holds(name, entries...)
	}
}
