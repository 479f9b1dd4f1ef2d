//go:build postgres

package pgxstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/jackc/pgx/v5"
)

var key = msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}

func at(version uint64) []checkpoint.Entry {
	return []checkpoint.Entry{{Key: key, Cursor: checkpoint.Cursor{Version: version}}}
}

func acquire(t *testing.T, s *pgxstore.Store) checkpoint.Owner {
	t.Helper()
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "all"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

// A commit wakes those who wait in another process, as soon as it is known that
// somebody does. Notifications are seen by a third party that listens, too.
func TestCommitsSignalElsewhere(t *testing.T) {
	connect := schema(t)
	committer, waiter := open(t, connect()), open(t, connect())
	owner := acquire(t, committer)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	signals, err := waiter.Notify(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	// Polling signals too: what tells the difference is that one comes sooner
	// after a commit than polling can, again and again.
	quick := 0
	for version := uint64(1); quick < 5; version++ {
		select {
		case <-signals:
		default:
		}
		began := time.Now()
		if err := committer.Save(t.Context(), owner, at(version)); err != nil {
			t.Fatal(err)
		}
		<-signals
		if version > 2000 {
			t.Fatal("signals of another store's commits come no sooner than polling")
		}
		if time.Since(began) < 100*time.Millisecond {
			quick++
		}
	}
}

// The listening connection is killed: the store makes another one.
func TestListensAgain(t *testing.T) {
	connect := schema(t)
	pool := connect()
	committer, waiter := open(t, connect()), open(t, connect())
	owner := acquire(t, committer)
	signals, err := waiter.Notify(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	listeners := "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN celeriant_%' AND pid <> pg_backend_pid()"
	killed := 0
	for version := uint64(1); killed < 4; version++ {
		var n int
		if err := pool.QueryRow(t.Context(), listeners).Scan(&n); err != nil {
			t.Fatal(err)
		}
		killed += n
		if err := committer.Save(t.Context(), owner, at(version)); err != nil {
			t.Fatal(err)
		}
		<-signals
	}
}

// Without somebody who waits elsewhere nothing is sent.
func TestCommitsWithoutWaitersSendNothing(t *testing.T) {
	connect := schema(t)
	s := open(t, connect())
	owner := acquire(t, s)
	if _, err := s.Notify(t.Context(), "orders"); err != nil { // its own waiter needs nothing
		t.Fatal(err)
	}
	pool := connect()
	for version := uint64(1); version <= 200; version++ {
		if err := s.Save(t.Context(), owner, at(version)); err != nil {
			t.Fatal(err)
		}
	}
	var commits int
	query := "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_notify%' AND pid <> pg_backend_pid() AND query_start > now() - interval '100 ms'"
	if err := pool.QueryRow(t.Context(), query).Scan(&commits); err != nil {
		t.Fatal(err)
	}
	if commits > 1 { // the announcement of the own waiter may be among them
		t.Fatalf("%d connections notify", commits)
	}
}

// The fence and the effects of a transaction go together, and what the handler
// does to the transaction is noticed.
func TestTransact(t *testing.T) {
	connect := schema(t)
	pool := connect()
	s := open(t, pool)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE effects (version BIGINT)"); err != nil {
		t.Fatal(err)
	}
	owner := acquire(t, s)
	effects := func(want int) {
		t.Helper()
		var n int
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM effects").Scan(&n); err != nil || n != want {
			t.Fatalf("%d effects, %v, want %d", n, err, want)
		}
	}
	insert := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"effects"}, []string{"version"}, pgx.CopyFromRows([][]any{{int64(1)}}))
		return err
	}
	step := func(err error, want checkpoint.Step) {
		t.Helper()
		var failed *checkpoint.TransactionError
		if !errors.As(err, &failed) || failed.Step != want {
			t.Fatalf("%v, want a failure while %s", err, want)
		}
	}
	next := []checkpoint.Entry{{Key: key, Cursor: checkpoint.Cursor{Version: 1}, Compare: true}}
	if err := s.Transact(t.Context(), owner, next, insert); err != nil {
		t.Fatal(err)
	}
	effects(1)
	if n, err := s.Stored(t.Context(), owner, next); err != nil || n != 1 {
		t.Fatalf("stored %d, %v", n, err)
	}
	// The same again, as after a commit whose answer was lost.
	err := s.Transact(t.Context(), owner, next, insert)
	if step(err, checkpoint.StepSave); !errors.Is(err, checkpoint.ErrApplied) {
		t.Fatalf("the same again: %v, want ErrApplied", err)
	}
	next[0].From, next[0].Cursor.Version = next[0].Cursor, 2
	failure := errors.New("handler")
	if err := s.Transact(t.Context(), owner, next, func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(insert(ctx, tx), failure)
	}); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	effects(1)
	if n, err := s.Stored(t.Context(), owner, next); err != nil || n != 0 {
		t.Fatalf("stored %d, %v", n, err)
	}
	err = s.Transact(t.Context(), owner, next, func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) })
	step(err, checkpoint.StepApplied)
	acquire(t, s)
	err = s.Transact(t.Context(), owner, next, insert)
	if step(err, checkpoint.StepSave); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("a superseded owner: %v", err)
	}
	_, err = s.Stored(t.Context(), owner, next)
	step(err, checkpoint.StepInquire)
	effects(1)
}

// A process that stops in a transaction that holds its fence loses it, and the
// next owner gets on.
func TestIdleHolderIsEnded(t *testing.T) {
	connect := schema(t)
	pool := connect()
	s, err := pgxstore.Open(t.Context(), pool, pgxstore.Options{Idle: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	owner := acquire(t, s)
	taken := make(chan error, 1)
	err = s.Transact(t.Context(), owner, at(1), func(ctx context.Context, tx pgx.Tx) error {
		go func() {
			_, err := s.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "all"})
			taken <- err
		}()
		return <-taken // only the end of this transaction can let it through
	})
	var failed *checkpoint.TransactionError
	if !errors.As(err, &failed) || failed.Step != checkpoint.StepApplied || !s.Passing(err) {
		t.Fatalf("the transaction that was idle: %v, want a passing failure after applying", err)
	}
}
