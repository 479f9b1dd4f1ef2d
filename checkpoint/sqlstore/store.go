package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Options are the choices of a store. The zero value is a good one.
type Options struct {
	// Prefix begins the names of the tables: 1 to 32 of a-z, 0-9 and _,
	// beginning with a letter. Empty means "celeriant_". Stores of different
	// prefixes in one database do not see each other.
	Prefix string
}

// Store is a checkpoint.Store in a SQL database. Any number of stores, in any
// number of processes, may use the same tables.
//
// A save locks the subscription's row until its transaction ends, so the saves
// of one subscription follow each other, and an acquisition waits for the
// transaction that is about to commit: what a new owner loads is all that its
// forerunner will ever have saved. In SQLite the lock is on the whole database.
//
// Calls stop when their context ends, as far as the driver does.
type Store struct {
	db      *sql.DB
	dialect Dialect
	prefix  string
	text    *statements
	closed  atomic.Bool
}

var _ checkpoint.Store = (*Store)(nil)

// Open returns a store in db, which the caller opened and will close, after the
// store. It creates the tables if they are missing. It returns a
// [*checkpoint.VersionError] if they are another release's.
func Open(ctx context.Context, db *sql.DB, dialect Dialect, options Options) (*Store, error) {
	if options.Prefix == "" {
		options.Prefix = "celeriant_"
	}
	text, err := dialect.statements(options.Prefix)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, dialect: dialect, prefix: options.Prefix, text: text}
	if err := s.prepare(ctx); err != nil {
		return nil, s.explain(ctx, "opening", "", err)
	}
	return s, nil
}

// Acquire implements checkpoint.Store. It waits for a transaction that has
// saved with SaveTx and not ended yet.
func (s *Store) Acquire(ctx context.Context, claim checkpoint.Claim) (checkpoint.Owner, error) {
	if err := claim.Check(); err != nil {
		return checkpoint.Owner{}, err
	}
	owner := checkpoint.Owner{Name: claim.Name}
	err := s.update(ctx, "acquiring", claim.Name, func(tx *sql.Tx) (bool, error) {
		if _, err := tx.ExecContext(ctx, s.text.enter, claim.Name); err != nil {
			return false, err
		}
		o, err := s.lock(ctx, tx, claim.Name)
		if err != nil {
			return false, err
		}
		if o.scope.Valid && o.scope.String != claim.Scope && !claim.Adopt {
			return false, &checkpoint.ScopeError{Name: claim.Name, Stored: o.scope.String, Wanted: claim.Scope}
		}
		owner.Epoch = o.epoch + 1
		_, err = tx.ExecContext(ctx, s.text.own, int64(owner.Epoch), claim.Scope, o.id)
		return true, err
	})
	if err != nil {
		return checkpoint.Owner{}, err
	}
	return owner, nil
}

// Load implements checkpoint.Store, with one query for every 512 keys.
func (s *Store) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return s.loadIn(ctx, s.db, name, keys)
}

// LoadTx is Load inside the caller's transaction, whose saves it sees. It locks
// nothing: to decide on what it returns, save in the same transaction.
func (s *Store) LoadTx(ctx context.Context, tx *sql.Tx, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return s.loadIn(ctx, tx, name, keys)
}

// Save implements checkpoint.Store, in a transaction of its own.
func (s *Store) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	return s.update(ctx, "saving", owner.Name, func(tx *sql.Tx) (bool, error) {
		return s.save(ctx, tx, owner, entries)
	})
}

// SaveTx is Save inside the caller's transaction: the cursors move if and when
// it commits, and until then no other owner can take over. It has changed
// nothing if it refuses with ErrFenced or a [*checkpoint.RegressionError]; the
// caller should then roll its own changes back. Call it last, since other
// saves of the subscription wait from here to the commit.
//
// Any isolation level will do. Above READ COMMITTED, PostgreSQL may refuse with
// a serialization failure, which is ErrBusy: roll back and repeat.
func (s *Store) SaveTx(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	if err := s.check(owner.Name); err != nil {
		return err
	}
	_, err := s.save(ctx, tx, owner, entries)
	return s.explain(ctx, "saving", owner.Name, err)
}

// Scan implements checkpoint.Store. It reads 512 cursors at a time and holds no
// connection while the loop body runs.
func (s *Store) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return func(yield func(checkpoint.Entry, error) bool) {
		text, after := s.text.first, []any{name}
		for {
			err := s.check(name)
			var page []checkpoint.Entry
			if err == nil {
				page, err = s.page(ctx, text, after)
			}
			if err != nil {
				yield(checkpoint.Entry{}, s.explain(ctx, "scanning", name, err))
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) < maxPortion {
				return
			}
			text, after = s.text.next, appendKey([]any{name}, page[len(page)-1].Key)
		}
	}
}

// Delete implements checkpoint.Store. Like Acquire, it waits for transactions
// that have saved.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.update(ctx, "deleting", name, func(tx *sql.Tx) (bool, error) {
		o, err := s.lock(ctx, tx, name)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if _, err := tx.ExecContext(ctx, s.text.forget, o.id); err != nil {
			return false, err
		}
		_, err = tx.ExecContext(ctx, s.text.own, int64(o.epoch+1), nil, o.id)
		return true, err
	})
}

// Close implements checkpoint.Store. The database stays open, and calls at work
// in it go on to their end.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// check refuses what should not start.
func (s *Store) check(name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	if s.closed.Load() {
		return checkpoint.ErrClosed
	}
	return nil
}

// update runs do in a transaction that commits what it changed.
func (s *Store) update(ctx context.Context, doing, name string, do func(*sql.Tx) (changed bool, err error)) error {
	if err := s.check(name); err != nil {
		return err
	}
	return s.explain(ctx, doing, name, s.inTx(ctx, do))
}

func (s *Store) inTx(ctx context.Context, do func(*sql.Tx) (changed bool, err error)) error {
	var options sql.TxOptions
	if s.dialect == Postgres {
		// What was committed while we waited for the row's lock must be seen.
		options.Isolation = sql.LevelReadCommitted
	}
	tx, err := s.db.BeginTx(ctx, &options)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	// After a commit this is void.
	defer func() { _ = tx.Rollback() }()
	changed, err := do(tx)
	if err != nil || !changed {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}
