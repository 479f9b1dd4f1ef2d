package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// The fence and the effects of a transaction go together, and what the handler
// does to the transaction is noticed.
func TestTransact(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.store(t, db)
		mustExec(t, db, "CREATE TABLE effects (version BIGINT)")
		owner := acquire(t, s)
		effects := func(want int) {
			t.Helper()
			var n int
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects").Scan(&n); err != nil || n != want {
				t.Fatalf("%d effects, %v, want %d", n, err, want)
			}
		}
		insert := func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (1)")
			return err
		}
		step := func(err error, want checkpoint.Step) {
			t.Helper()
			var failed *checkpoint.TransactionError
			if !errors.As(err, &failed) || failed.Step != want {
				t.Fatalf("%v, want a failure while %s", err, want)
			}
		}
		next := at(1)
		next[0].Compare = true
		signals, err := s.Notify(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Transact(t.Context(), owner, next, insert); err != nil {
			t.Fatal(err)
		}
		<-signals
		effects(1)
		if n, err := s.Stored(t.Context(), owner, next); err != nil || n != 1 {
			t.Fatalf("stored %d, %v", n, err)
		}
		// The same again, as after a commit whose answer was lost.
		err = s.Transact(t.Context(), owner, next, insert)
		if step(err, checkpoint.StepSave); !errors.Is(err, checkpoint.ErrApplied) {
			t.Fatalf("the same again: %v, want ErrApplied", err)
		}
		next[0].From, next[0].Cursor.Version = next[0].Cursor, 2
		failure := errors.New("handler")
		err = s.Transact(t.Context(), owner, next, func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(insert(ctx, tx), failure)
		})
		if !errors.Is(err, failure) {
			t.Fatal(err)
		}
		effects(1)
		if n, err := s.Stored(t.Context(), owner, next); err != nil || n != 0 {
			t.Fatalf("stored %d, %v", n, err)
		}
		err = s.Transact(t.Context(), owner, next, func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() })
		step(err, checkpoint.StepApplied)
		// Behind the transaction's back, as SQLite's own ON CONFLICT ROLLBACK does.
		err = s.Transact(t.Context(), owner, next, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "ROLLBACK")
			return errors.Join(err)
		})
		step(err, checkpoint.StepApplied)
		effects(1)
		acquire(t, s)
		err = s.Transact(t.Context(), owner, next, insert)
		if step(err, checkpoint.StepSave); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("a superseded owner: %v", err)
		}
		_, err = s.Stored(t.Context(), owner, next)
		step(err, checkpoint.StepInquire)
		effects(1)
	})
}
