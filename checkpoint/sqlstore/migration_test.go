package sqlstore_test

import (
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
)

// format1 makes the tables of the first release, with an owner of epoch 3 and a
// cursor at version 7.
func format1(t *testing.T, db *sql.DB, d sqlstore.Dialect) {
	id, number, bytes := "INTEGER PRIMARY KEY", "INTEGER", "BLOB"
	if d == sqlstore.Postgres {
		id, number, bytes = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "BIGINT", "BYTEA"
	}
	mustExec(t, db, "CREATE TABLE celeriant_format (one INTEGER PRIMARY KEY CHECK (one = 1), version "+number+" NOT NULL)")
	mustExec(t, db, "INSERT INTO celeriant_format VALUES (1, 1)")
	mustExec(t, db, "CREATE TABLE celeriant_subscriptions (id "+id+", name TEXT NOT NULL UNIQUE, epoch "+number+" NOT NULL, scope TEXT)")
	mustExec(t, db, "INSERT INTO celeriant_subscriptions (name, epoch, scope) VALUES ('orders', 3, 'all')")
	mustExec(t, db, "CREATE TABLE celeriant_cursors (subscription "+number+" NOT NULL, org_id "+bytes+" NOT NULL, type_id "+bytes+
		" NOT NULL, aggregate_id "+bytes+" NOT NULL, life "+number+" NOT NULL, version "+number+" NOT NULL, deleted BOOLEAN NOT NULL, server_timestamp "+
		number+" NOT NULL, event_seq "+number+" NOT NULL, client_id "+bytes+" NOT NULL, hash "+number+
		" NOT NULL, PRIMARY KEY (subscription, org_id, type_id, aggregate_id))")
	insert := "INSERT INTO celeriant_cursors VALUES (1, ?, ?, ?, 0, 7, false, 1, 2, ?, -3)"
	if d == sqlstore.Postgres {
		insert = "INSERT INTO celeriant_cursors VALUES (1, $1, $2, $3, 0, 7, false, 1, 2, $4, -3)"
	}
	mustExec(t, db, insert, key.Org[:], key.Type[:], key.Aggregate[:], make([]byte, 16))
}

// old is whether the dialect had a first release.
func old(d sqlstore.Dialect) bool { return d != sqlstore.MySQL }

func TestTablesOfTheFirstReleaseGoOn(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		if !old(d.dialect) {
			return
		}
		db := d.open(t)
		format1(t, db, d.dialect)
		// Several processes of this release may find them at once.
		const n = 4
		stores, errs := make([]*sqlstore.Store, n), make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			db := d.open(t)
			all.Go(func() { stores[i], errs[i] = sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{}) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		s := stores[0]
		cursors, err := s.Load(t.Context(), "orders", []msg.Key{key})
		want := checkpoint.Cursor{Version: 7, Anchor: checkpoint.Anchor{ServerTimestamp: 1, EventSeq: 2, Hash: 1<<64 - 3}}
		if err != nil || cursors[0] != want {
			t.Fatalf("holds %v, %v, want %v", cursors, err, want)
		}
		before := checkpoint.Owner{Name: "orders", Epoch: 3}
		if err := s.Save(t.Context(), before, at(8)); err != nil {
			t.Fatalf("the owner of before: %v", err)
		}
		owner := acquire(t, s)
		if owner.Epoch != 4 || owner.Token == (checkpoint.Token{}) {
			t.Fatalf("acquired %+v", owner)
		}
		if err := s.Save(t.Context(), before, at(9)); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("the owner of before: %v, want ErrFenced", err)
		}
		// A process of the earlier release that still runs may claim as it always
		// did, and fences.
		mustExec(t, db, "UPDATE celeriant_subscriptions SET epoch = epoch + 1 WHERE name = 'orders'")
		if err := s.Save(t.Context(), owner, at(9)); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("the owner behind one of the earlier release: %v, want ErrFenced", err)
		}
		m := checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: "a", Value: []byte("1")}}}
		if err := s.Apply(t.Context(), "orders", m); err != nil {
			t.Fatal(err)
		}
	})
}

// A table of cursors that nothing can follow is found, and deleting it helps.
func TestCursorsBeyondTheLimit(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.store(t, db)
		if err := s.Save(t.Context(), acquire(t, s), at(7)); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "UPDATE celeriant_cursors SET version = -1")
		var damaged *checkpoint.DamagedError
		if _, err := s.Load(t.Context(), "orders", []msg.Key{key}); !errors.As(err, &damaged) {
			t.Fatalf("a version of 2⁶⁴-1: %v, want a *DamagedError", err)
		}
		if err := s.Delete(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(t.Context(), acquire(t, s), at(1)); err != nil {
			t.Fatal(err)
		}
	})
}
