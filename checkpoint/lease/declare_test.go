package lease

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

func TestDeclareDividesACheckpointThatHadOneOwner(t *testing.T) {
	ctx, store := context.Background(), checkpoint.NewMemory()
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "n", Scope: "s"})
	if err != nil {
		t.Fatal(err)
	}
	key := msg.Key{Org: msg.IDFromUint64(1)}
	entry := checkpoint.Entry{Key: key, Cursor: checkpoint.Cursor{Version: 3}}
	if err := store.Save(ctx, owner, []checkpoint.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	var scope *checkpoint.ScopeError
	if _, err := Declare(ctx, store, "n", Declaration{Scope: "other"}); !errors.As(err, &scope) {
		t.Fatalf("another scope: %v", err)
	}
	if err := store.Save(ctx, owner, nil); err != nil {
		t.Fatalf("a refused declaration fenced the owner: %v", err)
	}
	d, err := Declare(ctx, store, "n", Declaration{Scope: "s"})
	if err != nil || d.Count() != DefaultPartitions {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := store.Save(ctx, owner, nil); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("the whole owner saves on: %v", err)
	}
	if stored, err := store.Load(ctx, "n", []msg.Key{key}); err != nil || stored[0].Version != 3 {
		t.Fatalf("cursor %v, %v", stored, err)
	}
	if _, err := store.Acquire(ctx, checkpoint.Claim{Name: "n", Scope: "s"}); !errors.As(err, &scope) {
		t.Fatalf("a release without partitions takes the checkpoint: %v", err)
	}
}

func TestDeclareAgreesWithWhoDeclaresAtTheSameTime(t *testing.T) {
	ctx, store := context.Background(), checkpoint.NewMemory()
	var all sync.WaitGroup
	counts := make([]uint32, 8)
	for i := range counts {
		all.Go(func() {
			d, err := Declare(ctx, store, "n", Declaration{Scope: "s", Partitions: uint32(32 * (1 + i%2))})
			var refused *DefinitionError
			if err != nil && !errors.As(err, &refused) {
				t.Error(err)
			}
			counts[i] = d.Wanted
		})
	}
	all.Wait()
	d, err := Declare(ctx, store, "n", Declaration{Scope: "s"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range counts {
		if n != 0 && n != d.Wanted {
			t.Fatalf("members with %v partitions, defined are %d", counts, d.Wanted)
		}
	}
}

//covers:definitions
func TestARepartitionFencesEveryClaim(t *testing.T) {
	ctx, store := context.Background(), checkpoint.NewMemory()
	d, err := Declare(ctx, store, "n", Declaration{Scope: "s"})
	if err != nil {
		t.Fatal(err)
	}
	m := &member{Membership: Membership{ID: "m", Name: "n", Definition: d}}
	p := New(Options{ID: "p", Token: checkpoint.NewToken})
	next := p.claim(m, 5, Partition{})
	if err := store.Apply(ctx, "n", checkpoint.Mutation{Records: []checkpoint.RecordChange{change(5, nil, next)}}); err != nil {
		t.Fatal(err)
	}
	claim := owner("n", 5, next)
	if err := store.Save(ctx, claim, nil); err != nil {
		t.Fatal(err)
	}
	again, err := Repartition(ctx, store, "n", 128, nil)
	if err != nil || again.Generation != 2 || again.Count() != 128 {
		t.Fatalf("%+v, %v", again, err)
	}
	if err := store.Save(ctx, claim, nil); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("a claim of the former generation saves on: %v", err)
	}
	m.Definition = again
	if later := p.claim(m, 5, Partition{}); later.Epoch <= next.Epoch {
		t.Fatalf("epoch %d follows %d", later.Epoch, next.Epoch)
	}
	if _, err := Declare(ctx, store, "n", Declaration{Scope: "s", Partitions: 64}); err == nil {
		t.Fatal("a member with the former count is let in")
	}
	if d, err := Declare(ctx, store, "n", Declaration{Scope: "t", Handler: "v2", Adopt: true}); err != nil || d.Generation != 3 || d.Count() != 128 || d.Handler != "v2" {
		t.Fatalf("adopting: %+v, %v", d, err)
	}
}

func TestImportTakesTheFurthestCursorOfEachShare(t *testing.T) {
	ctx, store := context.Background(), checkpoint.NewMemory()
	key := func(n uint64) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(n)} }
	for share, versions := range map[string]map[uint64]uint64{"a": {1: 5, 2: 1}, "b": {2: 7, 3: 2}} {
		owner, err := store.Acquire(ctx, checkpoint.Claim{Name: share, Scope: "s, hashes"})
		if err != nil {
			t.Fatal(err)
		}
		for n, v := range versions {
			if err := store.Save(ctx, owner, []checkpoint.Entry{{Key: key(n), Cursor: checkpoint.Cursor{Version: v}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // once more changes nothing
		if _, err := Import(ctx, store, "n", "s", []string{"b", "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Declare(ctx, store, "n", Declaration{Scope: "s"}); err != nil {
		t.Fatal(err)
	}
	got, err := store.Load(ctx, "n", []msg.Key{key(1), key(2), key(3)})
	if err != nil || got[0].Version != 5 || got[1].Version != 7 || got[2].Version != 2 {
		t.Fatalf("%v, %v", got, err)
	}
}
