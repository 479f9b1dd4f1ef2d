package bboltstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/msg"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// databases are the databases of open stores, for transactions.
type databases map[checkpoint.Store]*bbolt.DB

func (d databases) begin(_ context.Context, s checkpoint.Store) (checkpointtest.Tx, error) {
	tx, err := d[s].Begin(true)
	return transaction{s.(*bboltstore.Store), tx}, err
}

type transaction struct {
	store *bboltstore.Store
	*bbolt.Tx
}

func (t transaction) Save(_ context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	return t.store.SaveTx(t.Tx, o, entries)
}

func (t transaction) Apply(_ context.Context, name string, m checkpoint.Mutation) error {
	return t.store.ApplyTx(t.Tx, name, m)
}

func (t transaction) Load(_ context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return t.store.LoadTx(t.Tx, name, keys)
}

func TestConforms(t *testing.T) {
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
		path := filepath.Join(t.TempDir(), "checkpoints.db")
		return checkpointtest.Fixture{
			Open: func(ctx context.Context) (checkpoint.Store, error) {
				return bboltstore.Open(ctx, path, bboltstore.Options{NoSync: true})
			},
			Durable:  true,
			Records:  true,
			Notifies: true,
		}
	})
}

func TestConformsInSharedDatabase(t *testing.T) {
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
		db := open(t, filepath.Join(t.TempDir(), "app.db"))
		all := databases{}
		return checkpointtest.Fixture{
			Open: func(ctx context.Context) (checkpoint.Store, error) {
				s, err := bboltstore.New(ctx, db, bboltstore.Options{})
				all[s] = db
				return s, err
			},
			Durable:    true,
			Shared:     true,
			Records:    true,
			Notifies:   true,
			Begin:      all.begin,
			Transactor: all.transactor,
		}
	})
}

// open opens a database that is checked when the test ends.
func open(t testing.TB, path string) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = db.View(func(tx *bbolt.Tx) error {
			for err := range tx.Check() {
				t.Errorf("database inconsistent: %v", err)
			}
			return nil
		})
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newStore(t *testing.T, db *bbolt.DB, o bboltstore.Options) *bboltstore.Store {
	t.Helper()
	s, err := bboltstore.New(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	s, err := bboltstore.Open(t.Context(), path, bboltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = bboltstore.Open(t.Context(), path, bboltstore.Options{LockTimeout: time.Millisecond})
	var locked *checkpoint.LockedError
	if !errors.As(err, &locked) || locked.Path != path {
		t.Fatalf("opening twice: %v, want a *LockedError that names %s", err, path)
	}
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bboltstore.Open(t.Context(), path, bboltstore.Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("opening a text file: %v, want an error that names it", err)
	}
}

// watchedContext tells when somebody begins to wait for it.
type watchedContext struct {
	context.Context
	waiting chan struct{}
	once    sync.Once
}

func (c *watchedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}

// A writer that waits for another must hear its context, and leave nothing
// behind that holds the database.
func TestWaitingWriterHearsContext(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "app.db"))
	s := newStore(t, db, bboltstore.Options{})
	tx, err := db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := &watchedContext{Context: ctx, waiting: make(chan struct{})}
	result := make(chan error)
	go func() {
		_, err := s.Acquire(watched, checkpoint.Claim{Name: "orders"})
		result <- err
	}()
	<-watched.waiting
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("acquiring behind another writer: %v, want context.Canceled", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	// Often enough that the lock also comes to the one who stopped waiting.
	for epoch := range uint64(500) {
		if owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders"}); err != nil || owner.Epoch != epoch+1 {
			t.Fatalf("acquiring afterwards: %+v, %v, want epoch %d", owner, err, epoch+1)
		}
	}
}

func TestSaveTxNeedsAWriter(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "app.db"))
	s := newStore(t, db, bboltstore.Options{})
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error { return s.SaveTx(tx, owner, nil) })
	if err == nil || !strings.Contains(err.Error(), "writable") {
		t.Fatalf("saving in a transaction that reads: %v", err)
	}
}

// Stores under different root buckets do not see each other.
func TestBucketsApart(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "app.db"))
	one, two := newStore(t, db, bboltstore.Options{Bucket: "one"}), newStore(t, db, bboltstore.Options{Bucket: "two"})
	for range 3 {
		if _, err := one.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if owner, err := two.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "b"}); err != nil || owner.Epoch != 1 {
		t.Fatalf("acquiring in the other bucket: %+v, %v", owner, err)
	}
}

func TestDamageIsFound(t *testing.T) {
	key := msg.Key{Org: msg.IDFromUint64(1)}
	for name, harm := range map[string]struct {
		do      func(root *bbolt.Bucket) error
		version bool
	}{
		"no format":      {do: func(root *bbolt.Bucket) error { return root.Delete([]byte("format")) }},
		"no cursors":     {do: func(root *bbolt.Bucket) error { return root.DeleteBucket([]byte("cursors")) }},
		"no owners":      {do: func(root *bbolt.Bucket) error { return root.DeleteBucket([]byte("owners")) }},
		"a later format": {do: func(root *bbolt.Bucket) error { return root.Put([]byte("format"), []byte{3}) }, version: true},
		"a short owner":  {do: func(root *bbolt.Bucket) error { return root.Bucket([]byte("owners")).Put([]byte("orders"), []byte{1}) }},
		"an owner half claimed": {do: func(root *bbolt.Bucket) error {
			return root.Bucket([]byte("owners")).Put([]byte("orders"), append(binary.BigEndian.AppendUint64(nil, 1), 2))
		}},
		"a short cursor": {do: func(root *bbolt.Bucket) error {
			return root.Bucket([]byte("cursors")).Bucket([]byte("orders")).Put(checkpoint.AppendKey(nil, key), []byte{1, 2})
		}},
		"a later cursor": {do: func(root *bbolt.Bucket) error {
			return root.Bucket([]byte("cursors")).Bucket([]byte("orders")).Put(checkpoint.AppendKey(nil, key), []byte{9})
		}, version: true},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, filepath.Join(t.TempDir(), "app.db"))
			s := newStore(t, db, bboltstore.Options{Bucket: "root"})
			owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders"})
			if err != nil {
				t.Fatal(err)
			}
			entries := []checkpoint.Entry{{Key: key, Cursor: checkpoint.Cursor{Version: 1}}}
			if err := s.Save(t.Context(), owner, entries); err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(tx *bbolt.Tx) error { return harm.do(tx.Bucket([]byte("root"))) }); err != nil {
				t.Fatal(err)
			}
			entries[0].Cursor.Version++
			err = s.Save(t.Context(), owner, entries)
			var damaged *checkpoint.DamagedError
			var version *checkpoint.VersionError
			if harm.version && !errors.As(err, &version) || !harm.version && !errors.As(err, &damaged) {
				t.Fatalf("saving: %v", err)
			}
		})
	}
}
