package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

type stateError string

func (e stateError) Error() string    { return "state " + string(e) }
func (e stateError) SQLState() string { return string(e) }

type codeError int

func (e codeError) Error() string { return fmt.Sprint("code ", int(e)) }
func (e codeError) Code() int     { return int(e) }

// Conflicts are told from faults with any driver.
func TestBusy(t *testing.T) {
	for _, c := range []struct {
		err  error
		busy bool
	}{
		{stateError("40001"), true},
		{stateError("40P01"), true},
		{stateError("55P03"), true},
		{stateError("23505"), false},
		{codeError(5), true},
		{codeError(6), true},
		{codeError(5 | 2<<8), true}, // SQLITE_BUSY_SNAPSHOT
		{codeError(1), false},
		{codeError(8), false},
		{errors.New("database is locked"), true},
		{errors.New("database table is locked: x"), true},
		{errors.New("disk I/O error"), false},
	} {
		err := (&Store{}).explain(t.Context(), "saving", "orders", fmt.Errorf("committing: %w", c.err))
		if errors.Is(err, ErrBusy) != c.busy || !errors.Is(err, c.err) {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

// Drivers answer an ended context in their own words.
func TestContextIsRecognised(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	interrupted := codeError(9)
	if err := (&Store{}).explain(ctx, "saving", "orders", interrupted); !errors.Is(err, context.Canceled) || !errors.Is(err, interrupted) {
		t.Errorf("%v, want context.Canceled and the driver's error", err)
	}
	// What was decided before is what counts.
	if err := (&Store{}).explain(ctx, "saving", "orders", &checkpoint.FencedError{}); !errors.Is(err, checkpoint.ErrFenced) || errors.Is(err, context.Canceled) {
		t.Errorf("a refusal: %v", err)
	}
}
