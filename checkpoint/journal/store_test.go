package journal_test

import (
	"context"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/celeriant/celeriant-go/msg"
)

func TestStore(t *testing.T) {
	for name, o := range map[string]journal.Options{"plain": {}, "snapshots all the time": {SnapshotBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			checkpointtest.Run(t, func(testing.TB) checkpointtest.Fixture {
				s := newStorage()
				return checkpointtest.Fixture{
					Open: func(context.Context) (checkpoint.Store, error) {
						return journal.New(&log{storage: s}, o), nil
					},
					Durable: true, Shared: true, Records: true, Notifies: true,
				}
			})
		})
	}
}

func key(n int) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(uint64(n))} }

func to(n int, version uint64) []checkpoint.Entry {
	return []checkpoint.Entry{{Key: key(n), Cursor: checkpoint.Cursor{Version: version}}}
}

func save(t testing.TB, s checkpoint.Store, o checkpoint.Owner, entries []checkpoint.Entry) {
	t.Helper()
	if err := s.Save(t.Context(), o, entries); err != nil {
		t.Fatal(err)
	}
}

func stored(t testing.TB, s checkpoint.Store, n int) uint64 {
	t.Helper()
	cursors, err := s.Load(t.Context(), "orders", []msg.Key{key(n)})
	if err != nil {
		t.Fatal(err)
	}
	return cursors[0].Version
}

// An append whose answer was lost is repeated, and happens once.
func TestLostAnswer(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			disk := newStorage()
			s := disk.open(t, journal.Options{})
			owner := acquire(t, s)
			asked := 0
			disk.answer(func(string) (bool, error) {
				if asked++; asked == 1 {
					return applied, errLost
				}
				return true, nil
			})
			entries := to(1, 1)
			entries[0].Compare = true
			save(t, s, owner, entries)
			if n := disk.length("orders"); n != 2 {
				t.Fatalf("%d records, want a claim and a save", n)
			}
			if got := stored(t, s, 1); got != 1 {
				t.Fatalf("version %d", got)
			}
			// And it goes on from there.
			save(t, s, owner, to(1, 2))
		})
	}
}

// When every answer is lost the save fails, and the next one knows what came of it.
func TestEveryAnswerIsLost(t *testing.T) {
	disk := newStorage()
	s := disk.open(t, journal.Options{})
	owner := acquire(t, s)
	disk.answer(func(string) (bool, error) { return false, errLost })
	if err := s.Save(t.Context(), owner, to(1, 1)); !errors.Is(err, errLost) || checkpoint.IsRefusal(err) {
		t.Fatalf("saving: %v", err)
	}
	disk.answer(nil)
	save(t, s, owner, to(1, 2))
	if got := stored(t, s, 1); got != 2 {
		t.Fatalf("version %d", got)
	}
}

// A log that lost its last records and handed their numbers out again: an owner
// that did not notice appends behind records it does not know. Such records have
// no effect for anybody, and its claim, which was lost, is none.
func TestFenceHoldsAfterLoss(t *testing.T) {
	disk := newStorage()
	stale, other := disk.open(t, journal.Options{}), disk.open(t, journal.Options{})
	first := acquire(t, other)
	save(t, other, first, to(1, 1))
	lost := acquire(t, stale)
	save(t, stale, lost, to(1, 2))
	disk.lose("orders", 2)
	// The owner of before the loss holds the newest claim that is left. Its process
	// never saw the others, appends two records in the place of what was lost.
	save(t, other, first, to(1, 5))
	save(t, other, first, to(1, 6))
	// The number of its last record is the last one here, too.
	_ = stale.Save(t.Context(), lost, to(1, 9))
	if got := stored(t, other, 1); got != 6 {
		t.Fatalf("a save that does not follow the last record took effect: version %d", got)
	}
	save(t, other, first, to(1, 7))
	if err := stale.Save(t.Context(), lost, to(1, 10)); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("saving under a claim that was lost: %v, want ErrFenced", err)
	}
	for _, s := range []*journal.Store{stale, other, disk.open(t, journal.Options{})} {
		if got := stored(t, s, 1); got != 7 {
			t.Fatalf("version %d, want 7", got)
		}
	}
}

// An owner that finds its journal shorter than it was goes on from what is left.
func TestLossIsNoticed(t *testing.T) {
	disk := newStorage()
	s := disk.open(t, journal.Options{})
	owner := acquire(t, s)
	for version := uint64(1); version <= 3; version++ {
		save(t, s, owner, to(1, version))
	}
	disk.lose("orders", 2)
	entries := to(1, 4)
	entries[0].Compare, entries[0].From = true, checkpoint.Cursor{Version: 3}
	var back *checkpoint.RegressionError
	if err := s.Save(t.Context(), owner, entries); !errors.As(err, &back) || back.Stored.Version != 1 {
		t.Fatalf("a save from a cursor that was lost: %v", err)
	}
	save(t, s, owner, to(1, 4))
}

// A record that is missing in the middle is not passed over in silence by those who
// read from the beginning: what follows it is void, as after a loss.
func TestGapEndsTheJournal(t *testing.T) {
	disk := newStorage()
	s := disk.open(t, journal.Options{})
	owner := acquire(t, s)
	for version := uint64(1); version <= 3; version++ {
		save(t, s, owner, to(int(version), version))
	}
	disk.mu.Lock()
	records := disk.journals["orders"]
	disk.journals["orders"] = append(records[:2:2], records[3:]...)
	disk.mu.Unlock()
	fresh := disk.open(t, journal.Options{})
	if got := [3]uint64{stored(t, fresh, 1), stored(t, fresh, 2), stored(t, fresh, 3)}; got != [3]uint64{1, 0, 0} {
		t.Fatalf("versions %v", got)
	}
	save(t, fresh, owner, to(2, 2))
	// The process that knows the missing record agrees with the others.
	if got := [3]uint64{stored(t, s, 1), stored(t, s, 2), stored(t, s, 3)}; got != [3]uint64{1, 2, 0} {
		t.Fatalf("versions %v", got)
	}
}

// The beginning of a journal that is neither its first record nor a snapshot is
// damage, and so is a record that is none.
func TestDamage(t *testing.T) {
	for name, harm := range map[string]func(records []journal.Record) []journal.Record{
		"cut at the front": func(r []journal.Record) []journal.Record { return r[1:] },
		"no record": func(r []journal.Record) []journal.Record {
			return append(r, journal.Record{Number: 1000, Data: []byte{1, 9}})
		},
		"a later format": func(r []journal.Record) []journal.Record {
			return append(r, journal.Record{Number: 1000, Data: []byte{2, 1}})
		},
		"half a record": func(r []journal.Record) []journal.Record {
			r[1].Data = r[1].Data[:len(r[1].Data)-1]
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newStorage()
			s := disk.open(t, journal.Options{})
			owner := acquire(t, s)
			save(t, s, owner, to(1, 1))
			disk.mu.Lock()
			disk.journals["orders"] = harm(disk.journals["orders"])
			disk.mu.Unlock()
			_, err := disk.open(t, journal.Options{}).Load(t.Context(), "orders", []msg.Key{key(1)})
			var damaged *checkpoint.DamagedError
			var version *checkpoint.VersionError
			if !errors.As(err, &damaged) && !errors.As(err, &version) {
				t.Fatalf("loading: %v", err)
			}
		})
	}
}

// A log that refuses an append and shows no reason is not asked for ever.
func TestAppendIsRefusedWithoutReason(t *testing.T) {
	disk := newStorage()
	s := disk.open(t, journal.Options{})
	owner := acquire(t, s)
	disk.answer(func(string) (bool, error) { return false, journal.ErrBehind })
	if err := s.Save(t.Context(), owner, to(1, 1)); err == nil || checkpoint.IsRefusal(err) {
		t.Fatalf("saving: %v", err)
	}
}
