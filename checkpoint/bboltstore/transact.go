package bboltstore

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"go.etcd.io/bbolt"
)

var _ checkpoint.Transactor[*bbolt.Tx] = (*Store)(nil)

// Transact implements checkpoint.Transactor. bbolt has one transaction that
// writes at a time: others wait while apply runs.
func (s *Store) Transact(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, apply func(ctx context.Context, tx *bbolt.Tx) error) error {
	fail := func(step checkpoint.Step, err error) error {
		return &checkpoint.TransactionError{Step: step, Err: s.explain("changing", owner.Name, err)}
	}
	if err := s.check(owner.Name); err != nil {
		return fail(checkpoint.StepBegin, err)
	}
	tx, err := s.writer(ctx)
	if err != nil {
		return fail(checkpoint.StepBegin, err)
	}
	// After a commit this is void.
	defer func() { _ = tx.Rollback() }()
	if err := s.SaveTx(tx, owner, entries); err != nil {
		return fail(checkpoint.StepSave, err)
	}
	if err := apply(ctx, tx); err != nil {
		return err
	}
	if tx.DB() == nil {
		return fail(checkpoint.StepApplied, checkpoint.ErrTransactionEnded)
	}
	if err := tx.Commit(); err != nil {
		return fail(checkpoint.StepCommit, err)
	}
	s.Committed(owner.Name)
	return nil
}

// Stored implements checkpoint.Transactor.
func (s *Store) Stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (n int, err error) {
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	// A transaction that writes comes after all others that do.
	err = s.update(ctx, "inquiring of", owner.Name, func(tx *bbolt.Tx) (bool, error) {
		if err := s.SaveTx(tx, owner, nil); err != nil {
			return false, err
		}
		stored, err := s.load(ctx, tx, owner.Name, keys)
		if err == nil {
			n = checkpoint.StoredOf(entries, stored)
		}
		return false, err
	})
	if err != nil {
		return 0, &checkpoint.TransactionError{Step: checkpoint.StepInquire, Err: err}
	}
	return n, nil
}
