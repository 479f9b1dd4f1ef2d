package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// LoadTx is Load inside the caller's transaction, whose saves it sees. LoadTx
// locks nothing: to decide on what it returns, save in the same transaction.
func (s *Store) LoadTx(ctx context.Context, tx *sql.Tx, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return s.core.LoadIn(ctx, conn{tx}, name, keys)
}

// SaveTx is ApplyTx of cursors alone. Without entries it holds the fence
// exclusively: it waits for every transaction of the owner that has saved, and
// none saves until tx ends. So the inquiry after a commit whose answer was lost
// begins.
func (s *Store) SaveTx(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	return s.ApplyTx(ctx, tx, owner.Name, checkpoint.Mutation{
		Owners: []checkpoint.Owner{owner}, Exclusive: len(entries) == 0, Entries: entries,
	})
}

// ApplyTx is Apply inside the caller's transaction: the mutation takes effect if
// and when it commits, and until then no other owner can take over. ApplyTx has
// changed nothing if it refuses the mutation; the caller should then roll its
// own changes back. If another transaction of the same owner wrote the same
// meanwhile, it rolls tx back and returns ErrBusy: repeat the whole. Call it
// last, since claims of other owners wait from here to the commit.
//
// Name the cursors that the effects start from, with Entry.From and Compare:
// two transactions with the same effects are then told apart by
// checkpoint.ErrApplied, whatever became of a commit whose answer was lost.
//
// Any isolation level will do. Above READ COMMITTED, PostgreSQL and MySQL may
// refuse with a serialization failure, which is ErrBusy: roll back and repeat.
func (s *Store) ApplyTx(ctx context.Context, tx *sql.Tx, name string, m checkpoint.Mutation) error {
	raced, err := s.core.ApplyIn(ctx, conn{tx}, name, m)
	if raced {
		err = errors.Join(err, tx.Rollback())
	}
	return err
}

// Committed wakes those who wait with Notify in this process, after a
// transaction with ApplyTx or SaveTx was committed, and never blocks.
func (s *Store) Committed(name string) { s.core.Committed(name) }
