package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
)

var key = msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}

func at(version uint64) []checkpoint.Entry {
	return []checkpoint.Entry{{Key: key, Cursor: checkpoint.Cursor{Version: version}}}
}

func acquire(t *testing.T, s *sqlstore.Store) checkpoint.Owner {
	t.Helper()
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "all"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

func mustExec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestOpenRefusesPrefixes(t *testing.T) {
	db := sqlite(t).open(t)
	for _, prefix := range []string{"A", "1a", "a-b", "a;b", "a b", "é", strings.Repeat("a", 33), "x.y"} {
		if _, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, sqlstore.Options{Prefix: prefix}); err == nil || !strings.Contains(err.Error(), prefix) {
			t.Errorf("prefix %q: %v, want an error that names it", prefix, err)
		}
	}
	if _, err := sqlstore.Open(t.Context(), db, 7, sqlstore.Options{}); err == nil {
		t.Error("dialect 7 was accepted")
	}
}

func TestPrefixesApart(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		for _, prefix := range []string{"one_", "two_"} {
			s, err := sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{Prefix: prefix})
			if err != nil {
				t.Fatal(err)
			}
			if owner := acquire(t, s); owner.Epoch != 1 {
				t.Fatalf("first epoch below %s is %d", prefix, owner.Epoch)
			}
		}
	})
}

// Processes that start together must not trip over each other's tables.
func TestOpenedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const n = 6
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			db := d.open(t)
			all.Go(func() { _, errs[i] = sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{}) })
		}
		all.Wait()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestOtherVersionIsRefused(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		d.store(t, db)
		mustExec(t, db, "UPDATE celeriant_format SET version = 3")
		_, err := sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{})
		var version *checkpoint.VersionError
		if !errors.As(err, &version) || version.Found != 3 || version.Supported != 2 {
			t.Fatalf("opening tables of version 3: %v", err)
		}
	})
}

func TestDamageIsFound(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.store(t, db)
		owner := acquire(t, s)
		if err := s.Save(t.Context(), owner, at(1)); err != nil {
			t.Fatal(err)
		}
		value := "x'0102'"
		if d.dialect == sqlstore.Postgres {
			value = `'\x0102'`
		}
		if d.dialect == sqlstore.MySQL { // whose column is of fixed width
			mustExec(t, db, "ALTER TABLE celeriant_cursors MODIFY client_id VARBINARY(16) NOT NULL")
		}
		mustExec(t, db, "UPDATE celeriant_cursors SET client_id = "+value)
		var damaged *checkpoint.DamagedError
		if _, err := s.Load(t.Context(), "orders", []msg.Key{key}); !errors.As(err, &damaged) {
			t.Fatalf("loading a client id of 2 bytes: %v, want a *DamagedError", err)
		}
		if err := s.Save(t.Context(), owner, at(2)); !errors.As(err, &damaged) || !strings.Contains(err.Error(), "celeriant_cursors") {
			t.Fatalf("saving over it: %v, want a *DamagedError that names the table", err)
		}
	})
}

// The effect and the cursor are one, whatever ends the transaction.
func TestEffectAndCursorAreOne(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.store(t, db)
		zombie := acquire(t, s)
		mustExec(t, db, "CREATE TABLE ledger (version BIGINT)")
		apply := func(owner checkpoint.Owner, version uint64, crash bool) error {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if _, err := tx.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO ledger VALUES (%d)", version)); err != nil {
				return err
			}
			if err := s.SaveTx(t.Context(), tx, owner, at(version)); err != nil || crash {
				return err
			}
			return tx.Commit()
		}
		for version := uint64(1); version <= 3; version++ {
			for _, crash := range []bool{true, false} {
				if err := apply(zombie, version, crash); err != nil {
					t.Fatal(err)
				}
			}
		}
		owner := acquire(t, s)
		if err := apply(zombie, 4, false); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("the zombie's transaction: %v, want ErrFenced", err)
		}
		if err := apply(owner, 4, false); err != nil {
			t.Fatal(err)
		}
		var rows, sum int
		if err := db.QueryRow("SELECT count(*), sum(version) FROM ledger").Scan(&rows, &sum); err != nil {
			t.Fatal(err)
		}
		if rows != 4 || sum != 10 {
			t.Fatalf("%d effects with the sum %d, want the 4 effects 1 to 4", rows, sum)
		}
	})
}

func TestSQLiteBusy(t *testing.T) {
	d := sqlite(t)
	d.source = strings.Replace(d.source, "busy_timeout(20000)", "busy_timeout(0)", 1)
	db := d.open(t)
	s := d.store(t, db)
	owner := acquire(t, s)
	other, err := db.BeginTx(t.Context(), nil) // _txlock=immediate: it holds the lock
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), owner, at(1)); !errors.Is(err, sqlstore.ErrBusy) || !strings.Contains(err.Error(), "orders") {
		t.Fatalf("saving beside another writer: %v, want ErrBusy that names the subscription", err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), owner, at(1)); err != nil {
		t.Fatal(err)
	}
}

// A deferred transaction that read before another one wrote may not write.
func TestSQLiteStaleSnapshot(t *testing.T) {
	d := sqlite(t)
	d.source = strings.Replace(d.source, "_txlock=immediate", "_txlock=deferred", 1)
	db := d.open(t)
	s := d.store(t, db)
	owner := acquire(t, s)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := s.LoadTx(t.Context(), tx, "orders", []msg.Key{key}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), owner, at(1)); err != nil {
		t.Fatalf("a save of the store's own, in a deferred transaction: %v", err)
	}
	if err := s.SaveTx(t.Context(), tx, owner, at(2)); !errors.Is(err, sqlstore.ErrBusy) {
		t.Fatalf("saving on a stale snapshot: %v, want ErrBusy", err)
	}
}

func TestReadOnlyDatabase(t *testing.T) {
	d := sqlite(t)
	owner := acquire(t, d.store(t, d.open(t)))
	d.source += "&mode=ro"
	s := d.store(t, d.open(t))
	if err := s.Save(t.Context(), owner, at(1)); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Fatalf("saving into a read-only database: %v", err)
	}
	if got, err := s.Load(t.Context(), "orders", []msg.Key{key}); err != nil || !got[0].IsZero() {
		t.Fatalf("loading from a read-only database: %v, %v", got, err)
	}
}

// Two programs that start at the same moment open the same new file: the one that comes
// second waits for the other, although SQLite does not.
func TestOpenWaitsForAnotherThatOpens(t *testing.T) {
	d := sqlite(t)
	d.source = strings.Replace(d.source, "busy_timeout(20000)", "busy_timeout(0)", 1)
	other := d.open(t)
	other.SetMaxOpenConns(1)
	mustExec(t, other, "PRAGMA locking_mode = EXCLUSIVE")
	mustExec(t, other, "CREATE TABLE theirs (one INTEGER)")
	db := d.open(t)
	if err := db.PingContext(t.Context()); err == nil {
		t.Fatal("SQLite waits for nobody: nothing is tested")
	}
	opened := make(chan error)
	go func() {
		_, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, sqlstore.Options{})
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("in spite of the lock it ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("the other one has gone: %v", err)
	}
}
