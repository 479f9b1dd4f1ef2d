package operators

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Database runs work in transactions that also save cursors. Stores in databases
// have one for their own kind of transaction; [Project] makes one of database/sql.
// It is safe for concurrent use.
type Database[Tx any] interface {
	// Transact begins a transaction, saves the entries under the owner's claim,
	// calls apply with it, and commits. The fence is held, shared, until the
	// transaction ends. If apply fails, the transaction is rolled back and apply's
	// error is returned as it is. Errors of its own are [*TransactionError] that name
	// the step; one of StepCommit leaves open whether the transaction took effect.
	//
	// After apply it makes sure that the transaction is still the one it began: one
	// that apply, or the database, has ended meanwhile fails with StepApplied.
	Transact(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, apply func(ctx context.Context, tx Tx) error) error
	// Stored waits until no transaction under the owner's claim is under way, and
	// reports how many of the entries are stored.
	Stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error)
}

// Step is a part of a transaction.
type Step string

// The steps of a transaction.
const (
	StepBegin   Step = "beginning the transaction"
	StepSave    Step = "saving the cursors"
	StepApplied Step = "looking for the transaction after applying"
	StepCommit  Step = "committing the transaction"
	StepInquire Step = "reading the cursors back after a commit of unknown outcome"
)

// TransactionError says in which step a transaction failed, which decides what may
// follow.
type TransactionError struct {
	Step Step
	Err  error
}

// Error names the step.
func (e *TransactionError) Error() string { return fmt.Sprintf("operators: %s: %v", e.Step, e.Err) }

// Unwrap returns the database's error.
func (e *TransactionError) Unwrap() error { return e.Err }

// ErrTransactionEnded: a transaction was ended by the handler, or by the database
// without the handler's noticing, before the projection committed it. What the
// handler wrote afterwards was committed by itself, without cursors, so that it
// would be written again.
var ErrTransactionEnded = errors.New("operators: the transaction was ended inside the handler")

// TxStore is a checkpoint store in a database, which can take part in
// transactions on it. sqlstore.Store of the module checkpoint/sqlstore is one.
type TxStore interface {
	checkpoint.Store
	// SaveTx is Save inside tx: nothing is stored unless tx commits. It locks
	// the owner's row until tx ends, also without entries, so that transactions
	// of one subscription exclude each other.
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
		return &TransactionError{StepBegin, err}
	}
	// After a commit this does nothing.
	defer tx.Rollback()
	// The cursors go first: an owner that was fenced is stopped before it does
	// work.
	if err := d.store.SaveTx(ctx, tx, owner, entries); err != nil {
		return &TransactionError{StepSave, err}
	}
	if err := apply(ctx, tx); err != nil {
		return err
	}
	if err := d.same(ctx, tx, owner, entries); err != nil {
		return &TransactionError{StepApplied, err}
	}
	if err := tx.Commit(); err != nil {
		return &TransactionError{StepCommit, err}
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
		return 0, &TransactionError{StepInquire, err}
	}
	defer tx.Rollback()
	// The owner's row is locked first: a commit that the server is still working
	// on finishes before, so that "not stored" stays true.
	if err := d.store.SaveTx(ctx, tx, owner, nil); err != nil {
		return 0, &TransactionError{StepInquire, err}
	}
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	cursors, err := d.store.LoadTx(ctx, tx, owner.Name, keys)
	if err != nil {
		return 0, &TransactionError{StepInquire, err}
	}
	stored := 0
	for i := range entries {
		if cursors[i].Compare(entries[i].Cursor) >= 0 {
			stored++
		}
	}
	return stored, nil
}
