package bboltstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

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

// checkRecords is check for calls that take the store's own name, too.
func (s *Store) checkRecords(name string) error {
	if name == "" && !s.closed.Load() {
		return nil
	}
	if name == "" {
		return checkpoint.ErrClosed
	}
	return s.check(name)
}

// view runs do in a transaction that reads.
func (s *Store) view(ctx context.Context, doing, name string, do func(*bbolt.Tx) error) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	return s.viewRecords(ctx, doing, name, do)
}

// viewRecords is view for calls that take the store's own name, too.
func (s *Store) viewRecords(ctx context.Context, doing, name string, do func(*bbolt.Tx) error) error {
	if err := s.checkRecords(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("bboltstore: %s %q: %w", doing, name, err)
	}
	return s.explain(doing, name, s.db.View(do))
}

// update runs do in a transaction that writes, and commits what it changed
// unless it fails.
func (s *Store) update(ctx context.Context, doing, name string, do func(*bbolt.Tx) (changed bool, err error)) error {
	if err := s.checkRecords(name); err != nil {
		return err
	}
	changed := false
	err := s.write(ctx, func(tx *bbolt.Tx) (bool, error) {
		var err error
		changed, err = do(tx)
		return changed, err
	})
	if err == nil && changed {
		s.hub.Signal(name)
	}
	return s.explain(doing, name, err)
}

func (s *Store) write(ctx context.Context, do func(*bbolt.Tx) (changed bool, err error)) error {
	tx, err := s.writer(ctx)
	if err != nil {
		return err
	}
	// A panic must not keep the database locked; after a commit this is void.
	defer func() { _ = tx.Rollback() }()
	changed, err := do(tx)
	if err != nil || !changed {
		return err
	}
	return tx.Commit()
}

// writer waits for the database's one writing transaction, or for the context.
// bbolt itself cannot stop waiting, so the wait is left to a goroutine, which
// ends as soon as the writer of now does.
func (s *Store) writer(ctx context.Context) (*bbolt.Tx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type begun struct {
		tx  *bbolt.Tx
		err error
	}
	result := make(chan begun, 1)
	go func() {
		tx, err := s.db.Begin(true)
		result <- begun{tx, err}
	}()
	select {
	case b := <-result:
		return b.tx, b.err
	case <-ctx.Done():
		go func() {
			if b := <-result; b.err == nil {
				_ = b.tx.Rollback()
			}
		}()
		return nil, ctx.Err()
	}
}

// explain says what was being done, and speaks of closed stores as other
// stores do. Refusals say enough already.
func (s *Store) explain(doing, name string, err error) error {
	switch {
	case err == nil, checkpoint.IsRefusal(err):
		return err
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return checkpoint.ErrClosed
	case name == "":
		return fmt.Errorf("bboltstore: %s %s: %w", doing, s.db.Path(), err)
	}
	return fmt.Errorf("bboltstore: %s %q in %s: %w", doing, name, s.db.Path(), err)
}
