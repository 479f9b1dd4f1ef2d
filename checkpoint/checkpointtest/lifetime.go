package checkpointtest

import (
	"context"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

var lifetimeRules = []Rule{
	{Name: "deleting forgets cursors and scope", Check: deleteForgets},
	{Name: "deleting fences for ever", Check: deleteFences},
	{Name: "deleting leaves others alone", Check: deleteAlone},
	{Name: "a cancelled call does nothing", Check: cancelled},
	{Name: "a closed store answers ErrClosed", Check: closed},
	{Name: "cursors survive reopening", Check: reopened, Needs: durable},
	{Name: "the fence survives reopening", Check: reopenedFence, Needs: durable},
	{Name: "deletions survive reopening", Check: reopenedDeletion, Needs: durable},
}

func deleteForgets(t testing.TB, f Fixture) {
	b := start(t, f)
	b.delete("nobody")
	owner := b.acquire(name)
	const count = 2500
	b.save(owner, many(0, count, 5)...)
	b.delete(name)
	b.holds(name, never(0), never(count-1))
	if got := b.scan(name); len(got) != 0 {
		t.Fatalf("%d cursors survive the deletion", len(got))
	}
	owner = b.claim(checkpoint.Claim{Name: name, Scope: "another scope"})
	b.holds(name, never(0))
	b.save(owner, at(0, 1))
	b.holds(name, at(0, 1))
}

func (b bench) delete(name string) {
	b.Helper()
	if err := b.store.Delete(b.ctx, name); err != nil {
		b.Fatalf("deleting %q: %v", name, err)
	}
}

func deleteFences(t testing.TB, f Fixture) {
	b := start(t, f)
	zombies := []checkpoint.Owner{b.acquire(name), b.acquire(name)}
	for range 3 {
		b.delete(name)
		for _, z := range zombies {
			b.fenced(z, at(1, 1))
			b.fenced(z)
			b.fenced(checkpoint.Owner{Name: name, Epoch: z.Epoch + 1}, at(1, 1))
		}
		next := b.acquire(name)
		for _, z := range zombies {
			if next.Epoch <= z.Epoch {
				t.Fatalf("after a deletion epoch %d follows epoch %d", next.Epoch, z.Epoch)
			}
			b.fenced(z, at(1, 1))
		}
		b.holds(name, never(1))
		b.save(next, at(1, 1))
		zombies = append(zombies, next)
	}
	// Twice in a row, and the epoch after the last one must be no zombie's.
	b.delete(name)
	b.delete(name)
	if next := b.acquire(name); next.Epoch <= zombies[len(zombies)-1].Epoch {
		t.Fatalf("after two deletions epoch %d follows epoch %d", next.Epoch, zombies[len(zombies)-1].Epoch)
	}
}

func deleteAlone(t testing.TB, f Fixture) {
	b := start(t, f)
	doomed, other := b.acquire(name), b.acquire(name+"2")
	b.save(doomed, at(1, 1))
	b.save(other, at(1, 2))
	b.delete(name)
	b.holds(name+"2", at(1, 2))
	b.save(other, at(1, 3))
}

func cancelled(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 1))
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	for call, do := range calls(b.store, owner) {
		if err := do(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s with a cancelled context: %v, want context.Canceled", call, err)
		}
	}
	// Nothing was saved, nobody fenced, nothing deleted.
	b.holds(name, at(1, 1))
	b.save(owner, at(1, 2))
}

func closed(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 1))
	for range 2 {
		if err := b.store.Close(); err != nil {
			t.Fatalf("closing: %v", err)
		}
		for call, do := range calls(b.store, owner) {
			if err := do(b.ctx); !errors.Is(err, checkpoint.ErrClosed) {
				t.Fatalf("%s of a closed store: %v, want ErrClosed", call, err)
			}
		}
	}
}

// reopen closes the store and opens the fixture again.
func (b *bench) reopen(f Fixture) {
	b.Helper()
	if err := b.store.Close(); err != nil {
		b.Fatalf("closing: %v", err)
	}
	*b = start(b.TB, f)
}

func reopened(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	want := many(0, 1500, 3)
	b.save(owner, want...)
	want[7].Cursor = deleted(cursor(4, 1<<63-1))
	b.save(owner, want[7])
	b.reopen(f)
	b.holds(name, want...)
	if got := b.scan(name); len(got) != len(want) {
		t.Fatalf("%d cursors after reopening, want %d", len(got), len(want))
	}
	b.regresses(owner, checkpoint.RegressionError{Key: key(1), Stored: cursor(0, 3), Offered: cursor(0, 2)}, at(1, 2))
	b.save(owner, at(1, 4))
	b.reopen(f)
	b.holds(name, at(1, 4))
}

func reopenedFence(t testing.TB, f Fixture) {
	b := start(t, f)
	zombie := b.acquire(name)
	owner := b.acquire(name)
	b.reopen(f)
	b.fenced(zombie, at(1, 1))
	b.save(owner, at(1, 1))
	var refused *checkpoint.ScopeError
	if _, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: "another"}); !errors.As(err, &refused) {
		t.Fatalf("claiming with another scope after reopening: %v, want a *ScopeError", err)
	}
	if next := b.acquire(name); next.Epoch <= owner.Epoch {
		t.Fatalf("after reopening epoch %d follows epoch %d", next.Epoch, owner.Epoch)
	}
	b.fenced(owner, at(1, 2))
}

func reopenedDeletion(t testing.TB, f Fixture) {
	b := start(t, f)
	zombie := b.acquire(name)
	b.save(zombie, at(1, 1))
	b.delete(name)
	b.reopen(f)
	b.holds(name, never(1))
	b.fenced(zombie, at(1, 2))
	if next := b.claim(checkpoint.Claim{Name: name, Scope: "another"}); next.Epoch <= zombie.Epoch {
		t.Fatalf("after a deletion and reopening epoch %d follows epoch %d", next.Epoch, zombie.Epoch)
	}
}
