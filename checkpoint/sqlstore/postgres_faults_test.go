//go:build postgres

package sqlstore_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
)

// Errors of a server that restarts, fails over or times out are temporary; those
// that somebody has to mend are not.
func TestPostgresPasses(t *testing.T) {
	d := postgres(t)
	admin := d.open(t)
	owner := acquire(t, d.store(t, admin))
	for name, c := range map[string]struct {
		prepare []string // in a session of its own, before a save
		inside  string   // in the transaction, before it saves
		passes  bool
	}{
		"read-only":                  {prepare: []string{"SET default_transaction_read_only = on"}, passes: true},
		"statement time-out":         {inside: "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)", passes: true},
		"killed":                     {inside: "SELECT pg_terminate_backend(pg_backend_pid())", passes: true},
		"no right":                   {prepare: []string{"CREATE ROLE celeriant_nobody", "SET ROLE celeriant_nobody"}},
		"a statement that is no SQL": {inside: "SELEKT"},
	} {
		t.Run(name, func(t *testing.T) {
			db := d.open(t)
			db.SetMaxOpenConns(1)
			s := d.store(t, db)
			for _, text := range c.prepare {
				mustExec(t, db, text)
			}
			if name == "no right" {
				t.Cleanup(func() {
					server, _ := postgresServer()
					server.exec(t, "DROP ROLE celeriant_nobody")
				})
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if c.inside != "" {
				_, err = tx.ExecContext(t.Context(), c.inside)
			}
			if err == nil {
				err = s.SaveTx(t.Context(), tx, owner, at(1))
			}
			if err == nil || s.Passing(err) != c.passes {
				t.Fatalf("%v passes: %v, want %v", err, s.Passing(err), c.passes)
			}
		})
	}
}

// A database that was restored from a backup hands out the same epochs again: the
// owner of the time after the backup is fenced all the same.
//
//covers:promoted
func TestRestoredBackup(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := d.store(t, db)
	acquire(t, s)
	mustExec(t, db, "CREATE TABLE backup AS SELECT * FROM celeriant_subscriptions")
	lost := acquire(t, s)
	if err := s.Save(t.Context(), lost, at(5)); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "UPDATE celeriant_subscriptions s SET epoch = b.epoch, token = b.token FROM backup b WHERE b.id = s.id")
	mustExec(t, db, "DELETE FROM celeriant_cursors")
	again := acquire(t, s)
	if again.Epoch != lost.Epoch {
		t.Fatalf("epoch %d instead of %d again", again.Epoch, lost.Epoch)
	}
	if err := s.Save(t.Context(), lost, at(6)); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("the owner whose claim was lost: %v, want ErrFenced", err)
	}
	if err := s.Save(t.Context(), again, at(1)); err != nil {
		t.Fatal(err)
	}
}

// A fence that is held shared lets the transactions of one owner run beside each
// other; each waits for the other only where they save the same aggregate.
func TestTransactionsOfOneOwnerRunTogether(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := d.store(t, db)
	owner := acquire(t, s)
	var open []*sql.Tx
	for n := range uint64(8) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		e := checkpoint.Entry{Key: msg.Key{Org: msg.IDFromUint64(n + 1)}, Cursor: checkpoint.Cursor{Version: 1}, Compare: true}
		if err := s.SaveTx(t.Context(), tx, owner, []checkpoint.Entry{e}); err != nil {
			t.Fatal(err)
		}
		open = append(open, tx)
	}
	for _, tx := range open {
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// Two transactions that save the same new aggregate: the second is rolled back as
// busy, and repeated it learns that all is applied.
func TestRacedTransactionIsRolledBack(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := d.store(t, db)
	owner := acquire(t, s)
	first, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback()
	entries := at(1)
	entries[0].Compare = true
	if err := s.SaveTx(t.Context(), first, owner, entries); err != nil {
		t.Fatal(err)
	}
	second, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Rollback()
	result := make(chan error, 1)
	go func() { result <- s.SaveTx(t.Context(), second, owner, entries) }()
	awaitBlocked(t, db, result)
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, sqlstore.ErrBusy) || !s.Passing(err) {
		t.Fatalf("the second transaction: %v, want ErrBusy", err)
	}
	if err := second.Commit(); !errors.Is(err, sql.ErrTxDone) {
		t.Fatalf("committing it all the same: %v, want sql.ErrTxDone", err)
	}
	if err := s.Save(t.Context(), owner, entries); !errors.Is(err, checkpoint.ErrApplied) {
		t.Fatalf("repeated: %v, want ErrApplied", err)
	}
}

// awaitBlocked returns once a session waits for another one's row.
func awaitBlocked(t *testing.T, db *sql.DB, result <-chan error) {
	t.Helper()
	for {
		select {
		case err := <-result:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		var waiting bool
		if err := db.QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%cursors%')").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}
