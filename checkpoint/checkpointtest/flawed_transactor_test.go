package checkpointtest_test

import (
	"context"
	"errors"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// flawedTransactor has transactions with effects on the platter.
type flawedTransactor struct{ *flawed }

func (x *flawedTransactor) Transact(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, apply func(context.Context, func() error) error) error {
	s := x.flawed
	s.mu.Lock()
	tx := &flawedTx{store: s, before: s.copy()}
	before := s.effects
	defer func() {
		if !tx.done && !s.has("effects outlive their transaction") {
			s.effects = before
		}
		_ = tx.Rollback()
	}()
	err := tx.Save(ctx, owner, entries)
	if errors.Is(err, checkpoint.ErrApplied) && s.has("what is applied is applied again") {
		err = nil
	}
	if err != nil {
		return &checkpoint.TransactionError{Step: checkpoint.StepSave, Err: err}
	}
	err = apply(ctx, func() error {
		s.effects++
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Commit()
}

func (x *flawedTransactor) Stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error) {
	err := x.Save(ctx, owner, nil)
	var cursors []checkpoint.Cursor
	if err == nil {
		keys := make([]msg.Key, len(entries))
		for i := range entries {
			keys[i] = entries[i].Key
		}
		cursors, err = x.Load(ctx, owner.Name, keys)
	}
	if err != nil {
		return 0, &checkpoint.TransactionError{Step: checkpoint.StepInquire, Err: err}
	}
	return checkpoint.StoredOf(entries, cursors), nil
}

func (x *flawedTransactor) Effects(context.Context) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.effects, nil
}
