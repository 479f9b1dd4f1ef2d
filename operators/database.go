package operators

import (
	"context"
	"database/sql"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Database runs work in transactions that also save cursors. Stores in databases
// are one for their own kind of transaction; [Project] makes one of database/sql.
type Database[Tx any] = checkpoint.Transactor[Tx]

// Step is a part of a transaction.
type Step = checkpoint.Step

// The steps of a transaction.
const (
	StepBegin   = checkpoint.StepBegin
	StepSave    = checkpoint.StepSave
	StepApplied = checkpoint.StepApplied
	StepCommit  = checkpoint.StepCommit
	StepInquire = checkpoint.StepInquire
)

// TransactionError says in which step a transaction failed, which decides what may
// follow.
type TransactionError = checkpoint.TransactionError

// ErrTransactionEnded: a transaction was ended by the handler, or by the database
// without the handler's noticing, before the projection committed it.
var ErrTransactionEnded = checkpoint.ErrTransactionEnded

// TxStore is a checkpoint store in a database, which can take part in
// transactions on it. sqlstore.Store of the module checkpoint/sqlstore is one.
type TxStore interface {
	checkpoint.Store
	// SaveTx is Save inside tx: nothing is stored unless tx commits. SaveTx
	// locks the owner's row until tx ends, also without entries, so that
	// transactions of one subscription exclude each other.
	SaveTx(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error
	// LoadTx is Load inside tx.
	LoadTx(ctx context.Context, tx *sql.Tx, name string, keys []msg.Key) ([]checkpoint.Cursor, error)
}

// sqlDatabase is the Database of database/sql.
type sqlDatabase struct {
	db      *sql.DB
	store   TxStore
	options *sql.TxOptions
}

func (d *sqlDatabase) Transact(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, apply func(context.Context, *sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, d.options)
	if err != nil {
		return &TransactionError{Step: StepBegin, Err: err}
	}
	// After a commit this does nothing.
	defer tx.Rollback()
	// The cursors go first: an owner that was fenced is stopped before it does
	// work.
	if err := d.store.SaveTx(ctx, tx, owner, entries); err != nil {
		return &TransactionError{Step: StepSave, Err: err}
	}
	if err := apply(ctx, tx); err != nil {
		return err
	}
	if err := d.same(ctx, tx, owner, entries); err != nil {
		return &TransactionError{Step: StepApplied, Err: err}
	}
	if err := tx.Commit(); err != nil {
		return &TransactionError{Step: StepCommit, Err: err}
	}
	return nil
}

// same makes sure that tx is still the transaction that saved the entries: another
// one does not see them.
func (d *sqlDatabase) same(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	cursors, err := d.store.LoadTx(ctx, tx, owner.Name, []msg.Key{entries[0].Key})
	if err != nil {
		return err
	}
	if cursors[0].Compare(entries[0].Cursor) < 0 {
		return ErrTransactionEnded
	}
	return nil
}

func (d *sqlDatabase) Stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error) {
	tx, err := d.db.BeginTx(ctx, d.options)
	if err != nil {
		return 0, &TransactionError{Step: StepInquire, Err: err}
	}
	defer tx.Rollback()
	// The owner's row is locked first: a commit that the server is still working
	// on finishes before, so that "not stored" stays true.
	if err := d.store.SaveTx(ctx, tx, owner, nil); err != nil {
		return 0, &TransactionError{Step: StepInquire, Err: err}
	}
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	cursors, err := d.store.LoadTx(ctx, tx, owner.Name, keys)
	if err != nil {
		return 0, &TransactionError{Step: StepInquire, Err: err}
	}
	stored := 0
	for i := range entries {
		if cursors[i].Compare(entries[i].Cursor) >= 0 {
			stored++
		}
	}
	return stored, nil
}
