package bboltstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/msg"
	"go.etcd.io/bbolt"
)

func TestTransact(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "app.db"))
	s := newStore(t, db, bboltstore.Options{})
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	effect := func(_ context.Context, tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("effects"))
		if err != nil {
			return err
		}
		n, _ := b.NextSequence()
		return b.Put([]byte{byte(n)}, nil)
	}
	effects := func(want int) {
		t.Helper()
		_ = db.View(func(tx *bbolt.Tx) error {
			if n := tx.Bucket([]byte("effects")).Stats().KeyN; n != want {
				t.Fatalf("%d effects, want %d", n, want)
			}
			return nil
		})
	}
	step := func(err error, want checkpoint.Step) {
		t.Helper()
		var failed *checkpoint.TransactionError
		if !errors.As(err, &failed) || failed.Step != want {
			t.Fatalf("%v, want a failure while %s", err, want)
		}
	}
	next := []checkpoint.Entry{{Key: msg.Key{Org: msg.IDFromUint64(1)}, Cursor: checkpoint.Cursor{Version: 1}, Compare: true}}
	if err := s.Transact(t.Context(), owner, next, effect); err != nil {
		t.Fatal(err)
	}
	effects(1)
	err = s.Transact(t.Context(), owner, next, effect)
	if step(err, checkpoint.StepSave); !errors.Is(err, checkpoint.ErrApplied) {
		t.Fatalf("the same again: %v, want ErrApplied", err)
	}
	if n, err := s.Stored(t.Context(), owner, next); err != nil || n != 1 {
		t.Fatalf("stored %d, %v", n, err)
	}
	next[0].From, next[0].Cursor.Version = next[0].Cursor, 2
	failure := errors.New("handler")
	err = s.Transact(t.Context(), owner, next, func(ctx context.Context, tx *bbolt.Tx) error {
		return errors.Join(effect(ctx, tx), failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	err = s.Transact(t.Context(), owner, next, func(_ context.Context, tx *bbolt.Tx) error { return tx.Rollback() })
	if step(err, checkpoint.StepApplied); !errors.Is(err, checkpoint.ErrTransactionEnded) {
		t.Fatalf("rolled back by the handler: %v", err)
	}
	effects(1)
	if n, err := s.Stored(t.Context(), owner, next); err != nil || n != 0 {
		t.Fatalf("stored %d, %v", n, err)
	}
	// A handler that panics leaves the database to others.
	func() {
		defer func() { _ = recover() }()
		_ = s.Transact(t.Context(), owner, next, func(context.Context, *bbolt.Tx) error { panic("handler") })
	}()
	if _, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	step(s.Transact(t.Context(), owner, next, effect), checkpoint.StepSave)
	_, err = s.Stored(t.Context(), owner, next)
	step(err, checkpoint.StepInquire)
	effects(1)
}
