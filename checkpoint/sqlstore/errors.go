package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// ErrBusy: the database could not serve this transaction beside others. Nothing
// of it was applied; roll it back and repeat it. In SQLite it means that
// another connection held the lock for longer than the busy timeout, or that a
// transaction read before another one wrote and may not write any more; see the
// package's documentation for how to open the database. In PostgreSQL it is a
// serialization failure, a deadlock or a lock timeout.
var ErrBusy = errors.New("sqlstore: database busy")

// explain says what was being done. Refusals say enough already.
func (s *Store) explain(ctx context.Context, doing, name string, err error) error {
	var scope *checkpoint.ScopeError
	var back *checkpoint.RegressionError
	var bad *checkpoint.NameError
	switch {
	case err == nil, errors.Is(err, checkpoint.ErrFenced), errors.Is(err, checkpoint.ErrClosed),
		errors.As(err, &scope), errors.As(err, &back), errors.As(err, &bad):
		return err
	}
	// Drivers answer a context that ends in their own ways: interrupted,
	// cancelled on user request, transaction done.
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if busy(err) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if name == "" {
		return fmt.Errorf("sqlstore: %s %s* in %v: %w", doing, s.prefix, s.dialect, err)
	}
	return fmt.Errorf("sqlstore: %s %q in %v: %w", doing, name, s.dialect, err)
}

// busy recognises lock conflicts without naming a driver: by SQLSTATE
// (PostgreSQL drivers), by SQLite's result code, or else by its words.
func busy(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		switch state.SQLState() {
		case "40001", "40P01", "55P03":
			return true
		}
		return false
	}
	var code interface{ Code() int }
	if errors.As(err, &code) {
		primary := code.Code() & 0xff
		return primary == 5 || primary == 6
	}
	text := err.Error()
	return strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked")
}
