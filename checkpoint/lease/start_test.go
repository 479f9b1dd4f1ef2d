package lease

import (
	"context"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// claimAll has a member claim partitions as it would on having read the records, and
// stores that.
func claimAll(t *testing.T, store checkpoint.RecordStore, d Definition, fromNow uint64, partitions ...uint32) map[uint32]*Start {
	t.Helper()
	records, _, err := store.Records(t.Context(), "n", checkpoint.PartitionPrefix)
	if err != nil {
		t.Fatal(err)
	}
	parsed := make(map[uint32]Partition)
	for _, r := range records {
		q, ok := partitionOf(r.Key)
		if !ok {
			continue
		}
		if parsed[q], err = ParsePartition(r); err != nil {
			t.Fatal(err)
		}
	}
	p := New(Options{ID: "p", Token: checkpoint.NewToken})
	m := &member{Membership: Membership{ID: "m", Name: "n", Definition: d, FromNow: fromNow}}
	m.starts = m.startsAt(parsed)
	starts := make(map[uint32]*Start)
	for _, q := range partitions {
		next := p.claim(m, q, parsed[q])
		starts[q] = next.Start
		storePartition(t, store, q, next)
	}
	return starts
}

func storePartition(t *testing.T, store checkpoint.RecordStore, partition uint32, p Partition) {
	t.Helper()
	c := checkpoint.RecordChange{Key: checkpoint.PartitionKey(partition), Value: p.encode(), Any: true}
	if err := store.Apply(t.Context(), "n", checkpoint.Mutation{Records: []checkpoint.RecordChange{c}}); err != nil {
		t.Fatal(err)
	}
}

// makeStarts notes that partitions have made their start.
func makeStarts(t *testing.T, store checkpoint.RecordStore, partitions ...uint32) {
	t.Helper()
	records, _, err := store.Records(t.Context(), "n", checkpoint.PartitionPrefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		q, ok := partitionOf(r.Key)
		if !ok || !slices.Contains(partitions, q) {
			continue
		}
		p, err := ParsePartition(r)
		if err != nil || p.Start == nil {
			t.Fatalf("partition %d has no start to be made: %s, %v", q, r.Value, err)
		}
		p.Start.Made = true
		storePartition(t, store, q, p)
	}
}

func wantStarts(t *testing.T, got map[uint32]*Start, want map[uint32]Start) {
	t.Helper()
	for q, start := range got {
		w, starts := want[q]
		if starts != (start != nil) || starts && *start != w {
			t.Errorf("partition %d starts at %+v, want %+v (%v)", q, start, w, starts)
		}
	}
}

// The first claim of any partition decides when all of them start.
func TestAGroupHasOneStart(t *testing.T) {
	ctx, store := context.Background(), checkpoint.NewMemory()
	d, err := Declare(ctx, store, "n", Declaration{Scope: "s", Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	at := Start{Since: 1000}
	wantStarts(t, claimAll(t, store, d, 1000, 0, 1), map[uint32]Start{0: at, 1: at})
	wantStarts(t, claimAll(t, store, d, 5000, 2), map[uint32]Start{2: at})
	makeStarts(t, store, 0, 2)
	made := Start{Since: 1000, Made: true}
	wantStarts(t, claimAll(t, store, d, 9000, 0, 1, 3), map[uint32]Start{0: made, 1: at, 3: at})

	// Another number of partitions divides aggregates otherwise: what is made of some
	// only is to be made by each of the new ones, and what all have made by none.
	again, err := Repartition(ctx, store, "n", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantStarts(t, claimAll(t, store, again, 20000, 0, 1), map[uint32]Start{0: at, 1: at})
	makeStarts(t, store, 0, 1)
	last, err := Repartition(ctx, store, "n", 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantStarts(t, claimAll(t, store, last, 30000, 0, 1, 7), nil)
}

// A group that began at the beginning does not start anew for a member that would.
func TestTheBeginningIsNoStart(t *testing.T) {
	ctx, store := context.Background(), checkpoint.NewMemory()
	d, err := Declare(ctx, store, "n", Declaration{Scope: "s", Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	wantStarts(t, claimAll(t, store, d, 0, 0), nil)
	wantStarts(t, claimAll(t, store, d, 1000, 0, 1, 2), nil)
	again, err := Repartition(ctx, store, "n", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantStarts(t, claimAll(t, store, again, 2000, 0, 1), nil)
}
