package checkpointtest

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
)

var rebuildRules = []Rule{
	{Name: "a cut-over fences the predecessor, and rolls back", Check: cutsOver, Needs: recording},
	{Name: "a cut-over ends leased owners", Check: cutsOverLeased, Needs: recording},
}

const rebuilt = name + "@2"

func cutsOver(t testing.TB, f Fixture) {
	b := start(t, f)
	store := b.records()
	old := b.acquire(name)
	b.save(old, at(1, 1))
	do := func(r rebuild.Rebuild, err error) rebuild.Rebuild {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	do(rebuild.Start(b.ctx, store, rebuilt, name, "test"))
	fresh := b.acquire(rebuilt)
	b.save(old, at(1, 2))
	b.save(fresh, at(1, 1))
	r := do(rebuild.CutOver(b.ctx, store, rebuilt, "test"))
	b.fenced(old, at(1, 3))
	b.superseded(checkpoint.Claim{Name: name, Scope: scope})
	b.superseded(checkpoint.Claim{Name: name, Scope: scope, Adopt: true})
	b.holds(name, at(1, 2))
	if p, err := rebuild.Compare(b.ctx, store, rebuilt, name, nil, nil); err != nil || p.Aggregates != 1 || p.Reached != 0 || p.Versions != 2 || p.Handled != 1 {
		t.Fatalf("progress %+v, %v", p, err)
	}
	b.save(fresh, at(1, 2))
	if p, err := rebuild.Compare(b.ctx, store, rebuilt, name, nil, nil); err != nil || p.Reached != 1 {
		t.Fatalf("progress %+v, %v", p, err)
	}
	if err := rebuild.Done(b.ctx, store, old, rebuild.Part{Token: r.Token, Count: 1}); err == nil {
		t.Fatalf("the predecessor said that the rebuild is done")
	}
	if err := rebuild.Done(b.ctx, store, fresh, rebuild.Part{Token: r.Token, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if done, err := rebuild.AllDone(b.ctx, store, rebuilt, r.Token); err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
	if _, finished, err := rebuild.Finish(b.ctx, store, r); err != nil || !finished {
		t.Fatalf("finished %v, %v", finished, err)
	}
	do(rebuild.Rollback(b.ctx, store, rebuilt, "test"))
	again := b.acquire(name)
	b.fenced(old, at(1, 3))
	b.save(fresh, at(1, 3)) // it goes on until it is cut over
	do(rebuild.CutOver(b.ctx, store, name, "test"))
	b.fenced(fresh, at(1, 4))
	b.superseded(checkpoint.Claim{Name: rebuilt, Scope: scope})
	b.save(again, at(1, 3))
}

// records returns the store with its records.
func (b bench) records() checkpoint.RecordStore {
	b.Helper()
	store, ok := b.store.(checkpoint.RecordStore)
	if !ok {
		b.Fatalf("a %T keeps no records", b.store)
	}
	return store
}

// superseded requires that nobody can claim a subscription.
func (b bench) superseded(c checkpoint.Claim) {
	b.Helper()
	_, err := b.store.Acquire(b.ctx, c)
	if !errors.Is(err, checkpoint.ErrSuperseded) || !errors.Is(err, checkpoint.ErrFenced) {
		b.Fatalf("claiming what is superseded: %v, want ErrSuperseded", err)
	}
}

func cutsOverLeased(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	first, second := b.lease(name, 7, 1), b.lease(name, 8, 1)
	b.save(first, at(1, 1))
	if _, err := rebuild.Start(b.ctx, b.records(), rebuilt, name, "test"); err != nil {
		t.Fatal(err)
	}
	b.acquire(rebuilt)
	if _, err := rebuild.CutOver(b.ctx, b.records(), rebuilt, "test"); err != nil {
		t.Fatal(err)
	}
	b.fenced(first, at(1, 2))
	b.fenced(second, at(2, 1))
	if _, err := rebuild.Abort(b.ctx, b.records(), rebuilt, "test"); err != nil {
		t.Fatal(err)
	}
	b.superseded(checkpoint.Claim{Name: rebuilt, Scope: scope})
	b.fenced(first, at(1, 2)) // it claims again
	b.save(b.lease(name, 7, 2), at(1, 2))
}
