package checkpointtest

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

var compareRules = []Rule{
	{Name: "what is applied already is refused", Check: appliedRefused},
	{Name: "a save from another cursor is refused", Check: otherStartRefused},
	{Name: "one compared entry refuses the save", Check: comparedWhole},
	{Name: "cursors beyond the limit are refused", Check: beyondRefused},
	{Name: "of those who save from one cursor one wins", Check: comparedRace},
}

// from is the entry of the n-th key that follows one version by another.
func from(n int, before, after uint64) checkpoint.Entry {
	e := at(n, after)
	e.From, e.Compare = cursor(0, before), true
	return e
}

func (b bench) applied(owner checkpoint.Owner, want checkpoint.AppliedError, entries ...checkpoint.Entry) {
	b.Helper()
	err := b.store.Save(b.ctx, owner, entries)
	var got *checkpoint.AppliedError
	if !errors.As(err, &got) || !errors.Is(err, checkpoint.ErrApplied) {
		b.Fatalf("saving what is stored already: %v, want an *AppliedError", err)
	}
	if *got != want {
		b.Fatalf("refused with %+v, want %+v", *got, want)
	}
}

func appliedRefused(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, from(1, 0, 3))
	b.applied(owner, checkpoint.AppliedError{Key: key(1), Stored: cursor(0, 3), Offered: cursor(0, 3)}, from(1, 0, 3))
	b.save(owner, from(1, 3, 7))
	b.applied(owner, checkpoint.AppliedError{Key: key(1), Stored: cursor(0, 7), Offered: cursor(0, 3)}, from(1, 0, 3))
	later := checkpoint.Entry{Key: key(1), Cursor: cursor(1, 0), From: cursor(0, 7), Compare: true}
	b.save(owner, later)
	b.applied(owner, checkpoint.AppliedError{Key: key(1), Stored: cursor(1, 0), Offered: cursor(0, 9)}, from(1, 7, 9))
	b.holds(name, checkpoint.Entry{Key: key(1), Cursor: cursor(1, 0)})
	// A new owner is told the same.
	owner = b.acquire(name)
	b.applied(owner, checkpoint.AppliedError{Key: key(1), Stored: cursor(1, 0), Offered: cursor(1, 0)}, later)
}

func otherStartRefused(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 5))
	for _, e := range []checkpoint.Entry{from(1, 4, 6), from(1, 6, 7), from(1, 0, 6), from(2, 1, 2)} {
		err := b.store.Save(b.ctx, owner, []checkpoint.Entry{e})
		var refused *checkpoint.RegressionError
		if !errors.As(err, &refused) || refused.Key != e.Key || refused.From != e.From || refused.Offered != e.Cursor {
			t.Fatalf("saving from %v: %v, want a *RegressionError that says so", e.From, err)
		}
	}
	b.holds(name, at(1, 5), never(2))
	b.save(owner, from(1, 5, 6), from(2, 0, 1))
	b.save(owner, from(1, 6, 7), from(1, 7, 9)) // one after the other
	b.save(owner, from(1, 9, 9))                // stays where it is
	b.holds(name, at(1, 9), at(2, 1))
}

func comparedWhole(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const count = 1300
	entries := make([]checkpoint.Entry, count)
	for n := range entries {
		entries[n] = from(n, 0, 2)
	}
	b.save(owner, at(count-1, 2))
	b.applied(owner, checkpoint.AppliedError{Key: key(count - 1), Stored: cursor(0, 2), Offered: cursor(0, 2)}, entries...)
	if got := b.scan(name); len(got) != 1 {
		t.Fatalf("a refused save left %d cursors, want the 1 of before", len(got))
	}
	entries[count-1] = from(count-1, 2, 4)
	b.save(owner, entries...)
	b.holds(name, append(many(0, count-1, 2), at(count-1, 4))...)
}

func beyondRefused(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 1))
	for _, c := range []checkpoint.Cursor{cursor(0, 1<<63), cursor(0, ^uint64(0)), cursor(1<<63, 0), cursor(^uint64(0), 1)} {
		var refused *checkpoint.CursorError
		if err := b.store.Save(b.ctx, owner, []checkpoint.Entry{at(2, 1), {Key: key(1), Cursor: c}}); !errors.As(err, &refused) || refused.Key != key(1) {
			t.Fatalf("saving %v: %v, want a *CursorError", c, err)
		}
	}
	b.holds(name, at(1, 1), never(2))
	b.save(owner, at(1, 2))
}

// Of those who start from the same cursor one may save, however they come
// together: this is what exactly once rests on.
func comparedRace(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const racers, rounds = 4, 20
	for round := range uint64(rounds) {
		var won atomic.Int64
		b.together(racers, func(i int) error {
			e := from(1, 10*round, 10*round+1+uint64(i))
			if round == 0 {
				e.From = checkpoint.Cursor{}
			}
			err := b.store.Save(b.ctx, owner, []checkpoint.Entry{e, at(100+i, round+1)})
			_, passed := errors.AsType[*checkpoint.RegressionError](err)
			if errors.Is(err, checkpoint.ErrApplied) || passed {
				return nil
			}
			won.Add(1)
			return err
		})
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of %d saved from the same cursor", round, won.Load(), racers)
		}
		b.save(owner, at(1, 10*round+10))
	}
}
