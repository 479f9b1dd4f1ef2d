package sqlstore

import (
	"context"
	"database/sql"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var _ checkpoint.Transactor[*sql.Tx] = (*Store)(nil)

// Transact implements checkpoint.Transactor, at READ COMMITTED where there is a
// choice. While apply runs, the transaction holds its fence: a claim of another
// owner waits for it, and where Options.Idle is heeded, a transaction without a
// statement for that long is ended by the server.
func (s *Store) Transact(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, apply func(ctx context.Context, tx *sql.Tx) error) error {
	fail := func(step checkpoint.Step, err error) error {
		return &checkpoint.TransactionError{Step: step, Err: err}
	}
	tx, err := s.begin(ctx)
	if err != nil {
		return fail(checkpoint.StepBegin, err)
	}
	// After a commit this is void.
	defer func() { _ = tx.Rollback() }()
	m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries}
	// The cursors go first: an owner that was fenced does no work.
	if err := s.ApplyTx(ctx, tx, owner.Name, m); err != nil {
		return fail(checkpoint.StepSave, err)
	}
	if err := apply(ctx, tx); err != nil {
		return err
	}
	if err := s.still(ctx, tx, owner, entries); err != nil {
		return fail(checkpoint.StepApplied, err)
	}
	if err := tx.Commit(); err != nil {
		return fail(checkpoint.StepCommit, err)
	}
	s.Committed(owner.Name)
	return nil
}

// still makes sure that tx is the transaction that saved the entries: another one
// does not see them.
func (s *Store) still(ctx context.Context, tx *sql.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	last := entries[len(entries)-1:]
	stored, err := s.LoadTx(ctx, tx, owner.Name, []msg.Key{last[0].Key})
	if err == nil && checkpoint.StoredOf(last, stored) == 0 {
		err = checkpoint.ErrTransactionEnded
	}
	return err
}

// Stored implements checkpoint.Transactor.
func (s *Store) Stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error) {
	n, err := s.stored(ctx, owner, entries)
	if err != nil {
		return 0, &checkpoint.TransactionError{Step: checkpoint.StepInquire, Err: err}
	}
	return n, nil
}

func (s *Store) stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error) {
	tx, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	// A commit that the server is still working on ends before, so that "not
	// stored" stays true.
	if err := s.ApplyTx(ctx, tx, owner.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Exclusive: true}); err != nil {
		return 0, err
	}
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	stored, err := s.LoadTx(ctx, tx, owner.Name, keys)
	if err != nil {
		return 0, err
	}
	return checkpoint.StoredOf(entries, stored), nil
}
