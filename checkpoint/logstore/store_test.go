package logstore_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/celeriant/celeriant-go/checkpoint/logstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// cluster returns a pool of the server that CELERIANT_TEST_ADDR names, or of a node
// of the test.
func cluster(t testing.TB) *pool.Pool {
	t.Helper()
	address := os.Getenv("CELERIANT_TEST_ADDR")
	if address == "" {
		address = celerianttest.Run(t, celerianttest.Options{Shards: 3}).Addr()
	}
	return connect(t, strings.Split(address, ",")...)
}

func connect(t testing.TB, addresses ...string) *pool.Pool {
	t.Helper()
	client, err := pool.New(pool.Options{Address: addresses[0], SeedAddresses: addresses[1:]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	return client
}

func open(t testing.TB, client *pool.Pool, o logstore.Options) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(t.Context(), client, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	client := cluster(t)
	checkpointtest.Run(t, func(testing.TB) checkpointtest.Fixture { return fixture(client) })
}

func fixture(client *pool.Pool) checkpointtest.Fixture {
	org := msg.NewID()
	return checkpointtest.Fixture{
		Open: func(ctx context.Context) (checkpoint.Store, error) {
			return logstore.Open(ctx, client, logstore.Options{Org: org})
		},
		Durable: true, Shared: true, Records: true, Notifies: true,
	}
}

func BenchmarkStore(b *testing.B) {
	client := cluster(b)
	checkpointtest.Benchmark(b, func(testing.TB) checkpointtest.Fixture { return fixture(client) })
}

func acquire(t testing.TB, s checkpoint.Store) checkpoint.Owner {
	t.Helper()
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "everything"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

func to(n int, version uint64) []checkpoint.Entry {
	return []checkpoint.Entry{{Key: msg.Key{Aggregate: msg.IDFromUint64(uint64(n))}, Cursor: checkpoint.Cursor{Version: version}}}
}

func save(t testing.TB, s checkpoint.Store, o checkpoint.Owner, entries []checkpoint.Entry) {
	t.Helper()
	if err := s.Save(t.Context(), o, entries); err != nil {
		t.Fatal(err)
	}
}

func stored(t testing.TB, s checkpoint.Store, n int) uint64 {
	t.Helper()
	cursors, err := s.Load(t.Context(), "orders", []msg.Key{to(n, 0)[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	return cursors[0].Version
}

// journals returns the store's aggregates as the cluster lists them.
func journals(t testing.TB, client *pool.Pool, org msg.ID) []msg.Key {
	t.Helper()
	var keys []msg.Key
	for item, err := range client.ListAggregates(t.Context(), pool.ListAggregatesOptions{Org: msg.Some(org)}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, item.Key)
	}
	return keys
}

// Snapshots and trims keep a journal short, and whoever opens it finds everything.
func TestJournalsAreTrimmed(t *testing.T) {
	client := cluster(t)
	o := logstore.Options{Org: msg.NewID(), Journal: journal.Options{SnapshotBytes: 2_000}}
	s := open(t, client, o)
	owner := acquire(t, s)
	const keys = 20
	saves := 0
	var floor uint64
	for floor <= 1 { // snapshots are taken in the background
		for range 100 {
			save(t, s, owner, to(saves%keys, uint64(saves)+1))
			saves++
		}
		found := journals(t, client, o.Org)
		if len(found) != 1 || found[0].Type != checkpoint.JournalType() {
			t.Fatalf("journals %v, want one of the reserved type", found)
		}
		details, err := client.Details(t.Context(), found[0])
		if err != nil {
			t.Fatal(err)
		}
		floor = details.MinVersion
	}
	again := open(t, client, o)
	for n := range keys {
		if got, want := stored(t, again, n), uint64(saves-keys+n+1); got != want {
			t.Fatalf("cursor %d at %d, want %d", n, got, want)
		}
	}
	save(t, again, owner, to(0, uint64(saves)+1))
}

// A process that slept while others saved and trimmed finds what it missed gone, and
// goes on from the snapshot.
func TestTrimmedMeanwhile(t *testing.T) {
	client := cluster(t)
	org := msg.NewID()
	idle := open(t, client, logstore.Options{Org: org})
	owner := acquire(t, idle)
	save(t, idle, owner, to(0, 1))
	busy := open(t, client, logstore.Options{Org: org, Journal: journal.Options{SnapshotBytes: 2_000}})
	var floor, saves uint64
	for floor <= 3 { // beyond what the idle one knows
		for range 100 {
			saves++
			save(t, busy, owner, to(int(saves%20), saves+1))
		}
		details, err := client.Details(t.Context(), journals(t, client, org)[0])
		if err != nil {
			t.Fatal(err)
		}
		floor = details.MinVersion
	}
	if got := stored(t, idle, int(saves%20)); got != saves+1 {
		t.Fatalf("version %d, want %d", got, saves+1)
	}
	save(t, idle, owner, to(0, saves+100))
}

// A journal that somebody deleted under its owner is damaged for the next one, until
// it is deleted once more and begun anew.
func TestDeletedJournal(t *testing.T) {
	client := cluster(t)
	org := msg.NewID()
	s := open(t, client, logstore.Options{Org: org})
	owner := acquire(t, s)
	save(t, s, owner, to(1, 1))
	key := journals(t, client, org)[0]
	remove := func() {
		t.Helper()
		err := client.Delete(t.Context(), &msg.DeleteRequest{
			ClientID: msg.NewID(), Deletes: []msg.AggregateDelete{{Key: key, AllowRecreate: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	remove()
	save(t, s, owner, to(1, 2))
	next := open(t, client, logstore.Options{Org: org})
	for range 2 {
		var damaged *checkpoint.DamagedError
		if _, err := next.Acquire(t.Context(), checkpoint.Claim{Name: "orders"}); !errors.As(err, &damaged) {
			t.Fatalf("claiming a journal that was deleted: %v", err)
		}
	}
	remove()
	save(t, next, acquire(t, next), to(1, 5))
	if got := stored(t, open(t, client, logstore.Options{Org: org}), 1); got != 5 {
		t.Fatalf("version %d", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	client := cluster(t)
	for _, size := range []int{-1, 1000, 9 << 20} {
		if _, err := logstore.Open(t.Context(), client, logstore.Options{MaxRecord: size}); err == nil || !strings.Contains(err.Error(), "131072 to 8388608") {
			t.Errorf("a longest record of %d: %v", size, err)
		}
	}
}
