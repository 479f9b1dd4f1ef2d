package checkpoint

import (
	"context"
	"errors"
	"fmt"
)

// Transactor runs work in transactions of the kind Tx that also save cursors.
// Stores in databases are one for their own kind. A Transactor is safe for
// concurrent use.
type Transactor[Tx any] interface {
	// Transact begins a transaction, saves the entries under the owner's claim,
	// calls apply with it, and commits. The fence is held, shared, until the
	// transaction ends. If apply fails, the transaction is rolled back and apply's
	// error is returned as it is. Errors of its own are [*TransactionError] that name
	// the step; one of StepCommit leaves open whether the transaction took effect.
	//
	// After apply it makes sure that the transaction is still the one it began: one
	// that apply, or the database, has ended meanwhile fails with StepApplied.
	Transact(ctx context.Context, owner Owner, entries []Entry, apply func(ctx context.Context, tx Tx) error) error
	// Stored waits until no transaction under the owner's claim is under way, and
	// reports how many of the entries are stored.
	Stored(ctx context.Context, owner Owner, entries []Entry) (int, error)
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
func (e *TransactionError) Error() string { return fmt.Sprintf("checkpoint: %s: %v", e.Step, e.Err) }

// Unwrap returns the database's error.
func (e *TransactionError) Unwrap() error { return e.Err }

// ErrTransactionEnded: a transaction was ended by the handler, or by the database
// without the handler's noticing, before it was to be committed. Later statements of
// the handler were committed by themselves, without cursors, so that they would be
// executed again.
var ErrTransactionEnded = errors.New("checkpoint: the transaction was ended inside the handler")

// StoredOf counts the entries of which a cursor at or beyond is stored; stored is
// parallel to them.
func StoredOf(entries []Entry, stored []Cursor) int {
	n := 0
	for i := range entries {
		if stored[i].Compare(entries[i].Cursor) >= 0 {
			n++
		}
	}
	return n
}
