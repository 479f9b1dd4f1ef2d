package journal_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
)

// Two processes save and write records while snapshots go on, in parts as small as
// they come. A reader of the rest of the journal finds what was stored.
func TestSnapshotsBetweenSaves(t *testing.T) {
	disk := newStorage()
	store := func() *journal.Store {
		s := journal.New(&log{storage: disk, max: 128 << 10}, journal.Options{SnapshotBytes: 20_000})
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	members := []*journal.Store{store(), store()}
	owner := acquire(t, members[0])
	random := rand.New(rand.NewPCG(1, 2))
	want := make(map[int]uint64)
	records := make(map[string]bool)
	const keys = 4_000
	for round := range uint64(120) {
		member := members[random.IntN(len(members))]
		m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}}
		first := random.IntN(keys - 100)
		for n := first; n < first+100; n++ {
			m.Entries = append(m.Entries, to(n, round+1)...)
			want[n] = round + 1
		}
		record := fmt.Sprintf("k%02d", random.IntN(40))
		change := checkpoint.RecordChange{Key: record, Any: true}
		if records[record] = !records[record]; records[record] {
			change.Value = fmt.Appendf(nil, "%d", round)
		}
		m.Records = append(m.Records, change)
		if err := member.Apply(t.Context(), "orders", m); err != nil {
			t.Fatal(err)
		}
		if round%20 == 0 {
			check(t, disk.open(t, journal.Options{}), want, records)
		}
	}
	for _, m := range members {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if disk.trims == 0 {
		t.Fatal("nothing was trimmed")
	}
	check(t, disk.open(t, journal.Options{}), want, records)
	// The fence is part of a snapshot.
	s := disk.open(t, journal.Options{})
	save(t, s, owner, to(0, 1_000))
	if next := acquire(t, s); next.Epoch != owner.Epoch+1 {
		t.Fatalf("epoch %d follows epoch %d", next.Epoch, owner.Epoch)
	}
}

func check(t *testing.T, s checkpoint.RecordStore, want map[int]uint64, records map[string]bool) {
	t.Helper()
	found := 0
	for e, err := range s.Scan(t.Context(), "orders") {
		if err != nil {
			t.Fatal(err)
		}
		n := -1
		for i := range want {
			if key(i) == e.Key {
				n = i
				break
			}
		}
		if n < 0 || want[n] != e.Cursor.Version {
			t.Fatalf("cursor %v at %v, want version %d", e.Key, e.Cursor, want[n])
		}
		found++
	}
	if found != len(want) {
		t.Fatalf("%d cursors, want %d", found, len(want))
	}
	stored, _, err := s.Records(t.Context(), "orders", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range stored {
		if !records[r.Key] {
			t.Fatalf("record %q is back", r.Key)
		}
	}
	there := 0
	for _, is := range records {
		if is {
			there++
		}
	}
	if len(stored) != there {
		t.Fatalf("%d records, want %d", len(stored), there)
	}
}

// A process that did not notice that the log lost records must not trim, behind a
// snapshot that nobody else reads, what the others go on from.
func TestStaleSnapshotTrimsNothing(t *testing.T) {
	disk := newStorage()
	stale := disk.open(t, journal.Options{SnapshotBytes: 400})
	other := disk.open(t, journal.Options{})
	first := acquire(t, other)
	save(t, other, first, to(1, 1))
	lost := acquire(t, stale)
	disk.lose("orders", 1)
	save(t, other, first, to(1, 5))
	for version := uint64(7); version < 12; version++ {
		_ = stale.Save(t.Context(), lost, to(1, version))
	}
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	if disk.trims != 0 {
		t.Fatal("the journal was trimmed behind a snapshot that is not in effect")
	}
	fresh := disk.open(t, journal.Options{})
	if got := stored(t, fresh, 1); got != 5 {
		t.Fatalf("version %d, want 5", got)
	}
	save(t, fresh, first, to(1, 6))
}
