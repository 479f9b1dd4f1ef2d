package redisstore

import (
	"context"
	"errors"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var _ checkpoint.Transactor[*Tx] = (*Store)(nil)

// Transact implements checkpoint.Transactor. Nothing is locked while apply runs: what
// the save was decided on, the claim included, is compared when the transaction is
// committed. A claim of another owner does not wait, and the transaction fails with
// [checkpoint.ErrFenced].
func (s *Store) Transact(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, apply func(ctx context.Context, tx *Tx) error) error {
	m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries}
	step := checkpoint.StepBegin
	var handler error
	err := m.Check(owner.Name)
	if err == nil {
		err = s.call(ctx, "changing", owner.Name, func() error {
			step = checkpoint.StepSave
			// An owner that was fenced does no work.
			if _, _, err := s.decide(ctx, owner.Name, &m, fieldsOf(entries)); err != nil {
				return err
			}
			tx := s.newTx(owner.Name)
			defer func() { tx.ended = true }()
			if handler = apply(ctx, tx); handler == nil {
				handler = tx.err
			}
			if handler != nil {
				return nil
			}
			step = checkpoint.StepCommit
			err := s.apply(ctx, owner.Name, &m, tx)
			switch {
			case errors.Is(err, errType):
				handler = err
				return nil
			case checkpoint.IsRefusal(err):
				step = checkpoint.StepSave
			case errors.Is(err, errRead), errors.Is(err, errConflict):
				step = checkpoint.StepApplied
			}
			return err
		})
	}
	if handler != nil {
		return handler
	}
	if err != nil {
		return &checkpoint.TransactionError{Step: step, Err: err}
	}
	return nil
}

// Stored implements checkpoint.Transactor. A script that was sent before and comes
// later finds another own, and changes nothing.
func (s *Store) Stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error) {
	err := s.Apply(ctx, owner.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Exclusive: true})
	var cursors []checkpoint.Cursor
	if err == nil {
		keys := make([]msg.Key, len(entries))
		for i := range entries {
			keys[i] = entries[i].Key
		}
		cursors, err = s.Load(ctx, owner.Name, keys)
	}
	if err != nil {
		return 0, &checkpoint.TransactionError{Step: checkpoint.StepInquire, Err: err}
	}
	return checkpoint.StoredOf(entries, cursors), nil
}
