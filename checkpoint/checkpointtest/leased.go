package checkpointtest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var leasedRules = []Rule{
	{Name: "an epoch that was handed out twice is told by its token", Check: tokensFence},
	{Name: "a leased owner saves under its own partition", Check: leasedSaves, Needs: recording},
	{Name: "several partitions are saved at once", Check: leasedTogether, Needs: recording},
	{Name: "deleting ends leased owners", Check: leasedDeleted, Needs: recording},
	{Name: "a claim of another scope ends leased owners", Check: leasedRescoped, Needs: recording},
	{Name: "partitions are fought for, the last owner stays", Check: leasedFight, Needs: recording},
}

// tokensFence is what happens when a database was restored from a backup, or a
// replica that lost the last writes was promoted: the epochs come again.
func tokensFence(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	if owner.Token == (checkpoint.Token{}) {
		t.Fatalf("the claim has no token")
	}
	other := owner
	other.Token = checkpoint.NewToken()
	b.fenced(other, at(1, 1))
	b.fenced(checkpoint.Owner{Name: name, Epoch: owner.Epoch}, at(1, 1))
	b.holds(name, never(1))
	b.save(owner, at(1, 1))
	if next := b.acquire(name); next.Token == owner.Token || next.Token == (checkpoint.Token{}) {
		t.Fatalf("two claims have the token %v", next.Token)
	}
}

// lease claims a partition as a member does: by changing its record.
func (b bench) lease(name string, partition uint32, epoch uint64) checkpoint.Owner {
	b.Helper()
	owner := checkpoint.Owner{Name: name, Epoch: epoch, Token: checkpoint.NewToken(), Leased: true, Partition: partition}
	b.apply(name, leaseOf(owner))
	return owner
}

func leaseOf(o checkpoint.Owner) checkpoint.Mutation {
	return put(fmt.Sprintf(`%s={"format":1,"epoch":%d,"token":"%v","member":"m"}`, checkpoint.PartitionKey(o.Partition), o.Epoch, o.Token))
}

func leasedSaves(t testing.TB, f Fixture) {
	b := start(t, f)
	whole := b.acquire(name)
	first := b.lease(name, 7, 1)
	b.save(first, at(1, 1))
	for what, change := range map[string]func(*checkpoint.Owner){
		"another partition": func(o *checkpoint.Owner) { o.Partition = 8 },
		"another epoch":     func(o *checkpoint.Owner) { o.Epoch++ },
		"another token":     func(o *checkpoint.Owner) { o.Token[3]++ },
		"the whole":         func(o *checkpoint.Owner) { o.Leased = false },
	} {
		other := first
		change(&other)
		if err := b.store.Save(b.ctx, other, []checkpoint.Entry{at(1, 2)}); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("an owner of %s: %v, want ErrFenced", what, err)
		}
	}
	b.holds(name, at(1, 1))
	// Others' claims change nothing.
	other := b.lease(name, 8, 5)
	b.save(first, at(1, 2))
	b.save(other, at(2, 1))
	second := b.lease(name, 7, 2)
	b.fenced(first, at(1, 3))
	b.fenced(first)
	b.save(second, at(1, 3))
	b.save(whole, at(3, 1))
	b.acquire(name) // the whole's epoch is not theirs
	b.save(second, at(1, 4))
	b.fenced(whole)
	// The owner that gave the partition back holds it no longer.
	b.apply(name, checkpoint.Mutation{Owners: []checkpoint.Owner{second},
		Records: []checkpoint.RecordChange{{Key: checkpoint.PartitionKey(7), Any: true}}})
	b.fenced(second, at(1, 5))
	b.holds(name, at(1, 4), at(2, 1), at(3, 1))
}

func leasedTogether(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	owners := make([]checkpoint.Owner, 70)
	for i := range owners {
		owners[i] = b.lease(name, uint32(i), 1)
	}
	m := checkpoint.Mutation{Owners: owners, Entries: many(0, 200, 1)}
	b.apply(name, m)
	b.holds(name, many(0, 200, 1)...)
	b.lease(name, 69, 2)
	m.Entries = many(0, 200, 2)
	fenced := refuses[*checkpoint.FencedError](b, name, m)
	if !fenced.Owner.Leased || fenced.Owner.Partition != 69 {
		t.Fatalf("fenced %+v, want partition 69", fenced.Owner)
	}
	b.holds(name, many(0, 200, 1)...)
	m.Owners = owners[:69]
	b.apply(name, m)
	b.holds(name, many(0, 200, 2)...)
}

func leasedDeleted(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	owner := b.lease(name, 7, 1)
	b.delete(name)
	if err := b.store.Save(b.ctx, owner, []checkpoint.Entry{at(1, 1)}); !errors.Is(err, checkpoint.ErrDeleted) || !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("a leased owner of what was deleted: %v, want ErrDeleted and ErrFenced", err)
	}
	if err := b.recorder().Apply(b.ctx, name, leaseOf(owner)); !errors.Is(err, checkpoint.ErrDeleted) {
		t.Fatalf("a lease of what was deleted: %v, want ErrDeleted", err)
	}
	b.acquire(name)
	b.fenced(owner, at(1, 1))
	b.holds(name, never(1))
}

func leasedRescoped(t testing.TB, f Fixture) {
	b := start(t, f)
	b.claim(checkpoint.Claim{Name: name, Scope: "plain"})
	b.save(b.claim(checkpoint.Claim{Name: name, Scope: "plain"}), at(1, 1))
	partitioned := checkpoint.Claim{Name: name, Scope: "partitioned", Replaces: []string{"plain"}}
	b.claim(partitioned)
	owner := b.lease(name, 7, 1)
	b.apply(name, put("other=1"))
	b.claim(partitioned) // the same scope again
	b.save(owner, at(1, 2))
	for _, refused := range []checkpoint.Claim{{Name: name, Scope: "plain"}, {Name: name, Scope: "x", Replaces: []string{"plain", "y"}}} {
		var scope *checkpoint.ScopeError
		if _, err := b.store.Acquire(b.ctx, refused); !errors.As(err, &scope) || scope.Stored != "partitioned" {
			t.Fatalf("claiming %+v: %v, want a *ScopeError", refused, err)
		}
	}
	b.save(owner, at(1, 3))
	b.claim(checkpoint.Claim{Name: name, Scope: "plain", Adopt: true})
	b.fenced(owner, at(1, 4))
	b.holds(name, at(1, 3))
	b.recorded(name, "", "other=1")
}

// leasedFight is ownersFight for one partition: once it was claimed, the cursors
// of those before must stand still.
func leasedFight(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	const workers, rounds = 4, 12
	var epochs atomic.Uint64
	b.together(workers, func(i int) error {
		for range rounds {
			mine, before, err := b.takeOver(&epochs)
			if err != nil {
				return err
			}
			forerunner := []msg.Key{key(int(before.Epoch))}
			found, err := b.store.Load(b.ctx, name, forerunner)
			if err != nil {
				return err
			}
			for version := uint64(1); version <= 3 && err == nil; version++ {
				err = b.store.Save(b.ctx, mine, []checkpoint.Entry{at(int(mine.Epoch), version)})
			}
			if err != nil && !errors.Is(err, checkpoint.ErrFenced) {
				return err
			}
			if before.Epoch == 0 {
				continue
			}
			if now, err := b.store.Load(b.ctx, name, forerunner); err != nil || now[0] != found[0] {
				return fmt.Errorf("the owner before %d moved its cursor from %v to %v, %v", mine.Epoch, found[0], now, err)
			}
			if err := b.store.Save(b.ctx, before, []checkpoint.Entry{at(int(before.Epoch), 100)}); !errors.Is(err, checkpoint.ErrFenced) {
				return fmt.Errorf("the owner before %d saves: %v", mine.Epoch, err)
			}
		}
		return nil
	})
	for epoch := range epochs.Load() + 1 {
		if got := b.load(name, []msg.Key{key(int(epoch))}); got[0].Version > 3 {
			t.Fatalf("the owner of epoch %d saved after it was superseded", epoch)
		}
	}
}

// takeOver claims partition 7 from whoever has it, by its record's revision.
func (b bench) takeOver(epochs *atomic.Uint64) (mine, before checkpoint.Owner, err error) {
	for {
		records, _, err := b.recorder().Records(b.ctx, name, checkpoint.PartitionKey(7))
		if err != nil {
			return mine, before, err
		}
		mine = checkpoint.Owner{Name: name, Epoch: 1, Token: checkpoint.NewToken(), Leased: true, Partition: 7}
		var stored uint64
		if len(records) > 0 {
			r, err := checkpoint.ParsePartition(records[0].Value)
			if err != nil {
				return mine, before, err
			}
			before = mine
			before.Epoch, before.Token = r.Epoch, r.Token
			mine.Epoch, stored = r.Epoch+1, records[0].Revision
		}
		m := leaseOf(mine)
		m.Records[0].Any, m.Records[0].Revision = false, stored
		err = b.recorder().Apply(b.ctx, name, m)
		if _, lost := errors.AsType[*checkpoint.RevisionError](err); lost {
			continue
		}
		for seen := epochs.Load(); seen < mine.Epoch && !epochs.CompareAndSwap(seen, mine.Epoch); seen = epochs.Load() {
		}
		return mine, before, err
	}
}
