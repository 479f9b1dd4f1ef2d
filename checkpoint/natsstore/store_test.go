package natsstore_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/celeriant/celeriant-go/checkpoint/natsstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func fixtures(conn *nats.Conn) func(testing.TB) checkpointtest.Fixture {
	var number atomic.Int64
	return func(testing.TB) checkpointtest.Fixture {
		stream := name(number.Add(1))
		return checkpointtest.Fixture{
			Open: func(ctx context.Context) (checkpoint.Store, error) {
				return natsstore.Open(ctx, conn, natsstore.Options{Stream: stream})
			},
			Durable: true, Shared: true, Records: true, Notifies: true,
		}
	}
}

func TestStore(t *testing.T) {
	checkpointtest.Run(t, fixtures(connect(t, embedded(t).ClientURL())))
}

func BenchmarkStore(b *testing.B) {
	checkpointtest.Benchmark(b, fixtures(connect(b, embedded(b).ClientURL())))
}

func open(t testing.TB, conn *nats.Conn, o natsstore.Options) *natsstore.Store {
	t.Helper()
	s, err := natsstore.Open(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
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

// Snapshots and purges keep a subject short, and whoever opens it finds everything.
func TestJournalsAreTrimmed(t *testing.T) {
	conn := connect(t, embedded(t).ClientURL())
	s := open(t, conn, natsstore.Options{Journal: journal.Options{SnapshotBytes: 2_000}})
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	owner := acquire(t, s)
	const keys = 20
	saves := 0
	for first := uint64(1); first == 1; { // snapshots are taken in the background
		for range 100 {
			save(t, s, owner, to(saves%keys, uint64(saves)+1))
			saves++
		}
		stream, err := js.Stream(t.Context(), "celeriant_checkpoints")
		if err != nil {
			t.Fatal(err)
		}
		first = stream.CachedInfo().State.FirstSeq
	}
	again := open(t, conn, natsstore.Options{})
	for n := range keys {
		if got, want := stored(t, again, n), uint64(saves-keys+n+1); got != want {
			t.Fatalf("cursor %d at %d, want %d", n, got, want)
		}
	}
	save(t, again, owner, to(0, uint64(saves)+1))
}

// A server that ends and comes back: the store goes on, what was acknowledged is
// there, and the fence holds.
func TestServerRestarts(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir, -1)
	address := first.ClientURL()
	conn := connect(t, address)
	s := open(t, conn, natsstore.Options{})
	zombie := acquire(t, s)
	save(t, s, zombie, to(1, 1))
	owner := acquire(t, s)
	save(t, s, owner, to(1, 2))
	acknowledged := uint64(0)
	stop(first)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Save(ctx, owner, to(1, 3)); err == nil || checkpoint.IsRefusal(err) {
		t.Fatalf("saving without a server: %v", err)
	}
	second := serve(t, dir, portOf(t, address))
	defer stop(second)
	for version := uint64(4); acknowledged == 0; version++ {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := s.Save(ctx, owner, to(1, version))
		cancel()
		switch {
		case err == nil:
			acknowledged = version
		case checkpoint.IsRefusal(err):
			t.Fatal(err)
		}
	}
	fresh := open(t, connect(t, address), natsstore.Options{})
	if got := stored(t, fresh, 1); got != acknowledged {
		t.Fatalf("version %d, want %d", got, acknowledged)
	}
	if err := fresh.Save(t.Context(), zombie, to(1, 99)); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("saving as an owner of before: %v, want ErrFenced", err)
	}
}

// Streams that would lose records are refused, and say why.
func TestStreamsAreChecked(t *testing.T) {
	conn := connect(t, embedded(t).ClientURL())
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*jetstream.StreamConfig){
		"its age must be unlimited":             func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"removes old messages":                  func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"beyond its limits":                     func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"its retention must be":                 func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		"allow_direct must be off":              func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"lets nothing be purged":                func(c *jetstream.StreamConfig) { c.DenyPurge = true },
		`has the subjects ["elsewhere"]`:        func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} },
		"takes messages of 1000 bytes, want 13": func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
	} {
		config := jetstream.StreamConfig{Name: "made", Subjects: []string{"made.>"}}
		change(&config)
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		_, err := natsstore.Open(t.Context(), conn, natsstore.Options{Stream: "made"})
		var bad *natsstore.ConfigError
		if !errors.As(err, &bad) || bad.Stream != "made" || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error that says %q", err, want)
		}
		if err := js.DeleteStream(t.Context(), "made"); err != nil {
			t.Fatal(err)
		}
	}
	config := jetstream.StreamConfig{Name: "made", Subjects: []string{"made.>"}, MaxBytes: 1 << 20, Discard: jetstream.DiscardNew}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	// A stream that is full refuses, and nothing is lost.
	s := open(t, conn, natsstore.Options{Stream: "made", Journal: journal.Options{SnapshotBytes: 1 << 30}})
	owner := acquire(t, s)
	entries := make([]checkpoint.Entry, 0, 1000)
	for n := range 1000 {
		entries = append(entries, to(n, 1)...)
	}
	version := uint64(0)
	for err = nil; err == nil; {
		version++
		for i := range entries {
			entries[i].Cursor.Version = version
		}
		err = s.Save(t.Context(), owner, entries)
	}
	if checkpoint.IsRefusal(err) {
		t.Fatalf("saving to a full stream: %v", err)
	}
	if got := stored(t, open(t, conn, natsstore.Options{Stream: "made"}), 7); got != version-1 {
		t.Fatalf("version %d, want %d", got, version-1)
	}
	for _, o := range []natsstore.Options{{Stream: "a.b"}, {Stream: "*"}, {Replicas: 6}, {Replicas: -1}} {
		if _, err := natsstore.Open(t.Context(), conn, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
