//go:build postgres

package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
)

func TestPostgresConforms(t *testing.T) {
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture { return postgres(t).fixture(t) })
}

func BenchmarkPostgres(b *testing.B) {
	checkpointtest.Benchmark(b, func(t testing.TB) checkpointtest.Fixture { return postgres(t).fixture(t) })
}

// With PostgreSQL, a zombie's transaction may have begun before the takeover,
// at an isolation level that shows it the past.
//
//covers:g12 lease
func TestZombieWithAnOldSnapshot(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := d.store(t, db)
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			zombie := acquire(t, s)
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := s.LoadTx(t.Context(), tx, "orders", []msg.Key{key}); err != nil {
				t.Fatal(err)
			}
			owner := acquire(t, s)
			err = s.SaveTx(t.Context(), tx, zombie, at(100))
			if level == sql.LevelReadCommitted && !errors.Is(err, checkpoint.ErrFenced) ||
				level != sql.LevelReadCommitted && !errors.Is(err, sqlstore.ErrBusy) {
				t.Fatalf("saving after the takeover: %v", err)
			}
			// Until here it has the subscription's row locked.
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := s.Save(t.Context(), owner, at(1)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Two transactions of one owner whose snapshots precede each other's saves:
// the later one must not overwrite what it cannot see.
func TestSaverWithAnOldSnapshot(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := d.store(t, db)
	owner := acquire(t, s)
	if err := s.Save(t.Context(), owner, at(1)); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := s.LoadTx(t.Context(), tx, "orders", []msg.Key{key}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), owner, at(9)); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveTx(t.Context(), tx, owner, at(5)); !errors.Is(err, sqlstore.ErrBusy) {
		t.Fatalf("saving version 5 over an invisible 9: %v, want ErrBusy", err)
	}
	if got, err := s.Load(t.Context(), "orders", []msg.Key{key}); err != nil || got[0].Version != 9 {
		t.Fatalf("stored %v, %v, want version 9", got, err)
	}
}

// An acquisition waits for the transaction that has saved, and stops waiting
// when its context ends.
func TestAcquisitionWaitsForCommit(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := d.store(t, db)
	owner := acquire(t, s)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := s.SaveTx(t.Context(), tx, owner, at(1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := s.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "all"})
		result <- err
	}()
	awaitLockWaiter(t, db, result)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("acquiring behind a transaction: %v, want context.Canceled", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), owner, at(2)); err != nil {
		t.Fatalf("the cancelled acquisition took the subscription: %v", err)
	}
}

// awaitLockWaiter returns once a session waits for a lock.
func awaitLockWaiter(t *testing.T, db *sql.DB, result <-chan error) {
	t.Helper()
	for {
		select {
		case err := <-result:
			t.Fatalf("the acquisition did not wait: %v", err)
		default:
		}
		var waiting bool
		err := db.QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%celeriant_subscriptions%')").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}

// A role that may not create tables can use those that exist.
func TestExistingTablesNeedNoRightToCreate(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	acquire(t, d.store(t, db))
	// A read-only session may create nothing, and must not need to.
	if d.source += "&default_transaction_read_only=on"; !strings.Contains(d.source, "://") {
		d.source = strings.Replace(d.source, "&default", " default", 1)
	}
	s := d.store(t, d.open(t))
	if _, err := s.Load(t.Context(), "orders", []msg.Key{key}); err != nil {
		t.Fatal(err)
	}
}

// The tables stay those that were found when the store was opened, whatever a
// connection's search path becomes.
func TestSearchPathDoesNotMatter(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	db.SetMaxOpenConns(1)
	s := d.store(t, db)
	owner := acquire(t, s)
	other := "celeriant_decoy"
	mustExec(t, db, "CREATE SCHEMA IF NOT EXISTS "+other)
	t.Cleanup(func() {
		s, _ := postgresServer()
		s.exec(t, "DROP SCHEMA "+other+" CASCADE")
	})
	for _, path := range []string{other, "pg_catalog", "''"} {
		mustExec(t, db, "SET search_path = "+path)
		if err := s.Save(t.Context(), owner, nil); err != nil {
			t.Fatalf("with search_path %s: %v", path, err)
		}
	}
	if _, err := sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{}); err == nil {
		t.Error("tables were created although no schema is in the search path")
	}
	named, err := sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{Schema: other})
	if err != nil {
		t.Fatal(err)
	}
	if owner := acquire(t, named); owner.Epoch != 1 {
		t.Fatalf("in another schema: %+v", owner)
	}
	if err := s.Save(t.Context(), owner, at(1)); err != nil {
		t.Fatal(err)
	}
}

// A role with the documented grants and no other can do everything.
func TestLeastPrivilege(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	d.store(t, db)
	var schema string
	if err := db.QueryRowContext(t.Context(), "SELECT current_schema()").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	role := schema + "_role"
	mustExec(t, db, "CREATE ROLE "+role)
	t.Cleanup(func() {
		s, _ := postgresServer()
		s.exec(t, "DROP OWNED BY "+role)
		s.exec(t, "DROP ROLE "+role)
	})
	mustExec(t, db, "GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	mustExec(t, db, "GRANT SELECT ON celeriant_format TO "+role)
	mustExec(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE ON celeriant_subscriptions, celeriant_cursors, celeriant_records TO "+role)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "SET ROLE "+role)
	s := d.store(t, db)
	if err := s.Save(t.Context(), acquire(t, s), at(1)); err != nil {
		t.Fatal(err)
	}
	m := checkpoint.Mutation{Limit: &checkpoint.RecordLimit{Max: 5}, Records: []checkpoint.RecordChange{{Key: "a", Value: []byte("1")}}}
	if err := s.Apply(t.Context(), "orders", m); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Exchange(t.Context(), "", checkpoint.RecordChange{Key: "a", Value: []byte("1"), Any: true}, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "RESET ROLE")
}
