package sqlcore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

type stateError string

func (e stateError) Error() string    { return "state " + string(e) }
func (e stateError) SQLState() string { return string(e) }

type codeError int

func (e codeError) Error() string { return fmt.Sprint("code ", int(e)) }
func (e codeError) Code() int     { return int(e) }

// codeField and numberField are the errors of drivers that have no methods.
type codeField struct{ Code int }

func (e codeField) Error() string { return fmt.Sprint("code ", e.Code) }

type numberField struct{ Number uint16 }

func (e *numberField) Error() string { return fmt.Sprint("number ", e.Number) }

type timeout struct{ late bool }

func (timeout) Error() string   { return "timeout" }
func (e timeout) Timeout() bool { return e.late }

type unsent struct{ safe bool }

func (unsent) Error() string       { return "unsent" }
func (e unsent) SafeToRetry() bool { return e.safe }

// Errors are judged with any driver, and never by their text.
func TestErrorsAreJudged(t *testing.T) {
	for _, c := range []struct {
		err           error
		busy, passing bool
	}{
		{stateError("40001"), true, true},
		{stateError("40P01"), true, true},
		{stateError("55P03"), true, true},
		{stateError("25006"), false, true},
		{stateError("25P03"), false, true},
		{stateError("57014"), false, true},
		{stateError("57P01"), false, true},
		{stateError("57P05"), false, true},
		{stateError("53300"), false, true},
		{stateError("08006"), false, true},
		{stateError("23505"), false, false},
		{stateError("42P01"), false, false},
		{stateError("42501"), false, false},
		{stateError("25P02"), false, false},
		{codeError(5), true, true},
		{codeError(6), true, true},
		{codeError(5 | 2<<8), true, true}, // SQLITE_BUSY_SNAPSHOT
		{codeError(13), false, true},
		{codeError(1), false, false},
		{codeError(8), false, false},
		{codeError(19), false, false},
		{codeField{5}, true, true},
		{codeField{1}, false, false},
		{&numberField{1213}, true, true},
		{&numberField{1205}, true, true},
		{&numberField{1290}, false, true},
		{&numberField{1064}, false, false},
		{(*numberField)(nil), false, false},
		{timeout{true}, false, true},
		{timeout{}, false, false},
		{unsent{true}, false, true},
		{unsent{}, false, false},
		{driver.ErrBadConn, false, true},
		{io.ErrUnexpectedEOF, false, true},
		{syscall.ECONNRESET, false, true},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, false, true},
		{errRaced, true, true},
		{errors.New("database is locked"), false, false},
		{errors.New("connection reset by peer"), false, false},
		{checkpoint.ErrFenced, false, false},
		{&checkpoint.RegressionError{}, false, false},
	} {
		s := &Store{options: Options{Package: "test"}}
		if c.err == error((*numberField)(nil)) {
			if s.Passing(c.err) {
				t.Error("a nil pointer passes")
			}
			continue
		}
		wrapped := errors.Join(errors.New("beside"), fmt.Errorf("committing: %w", c.err))
		err := s.explain(t.Context(), "saving", "orders", wrapped)
		if errors.Is(err, ErrBusy) != c.busy || !errors.Is(err, c.err) {
			t.Errorf("%v: %v", c.err, err)
		}
		if s.Passing(wrapped) != c.passing || s.Passing(err) != c.passing {
			t.Errorf("%T %v passes: %v, want %v", c.err, c.err, s.Passing(err), c.passing)
		}
	}
	s := &Store{options: Options{Passing: func(err error) bool { return errors.Is(err, io.ErrNoProgress) }}}
	if !s.Passing(io.ErrNoProgress) || s.Passing(io.ErrShortBuffer) || s.Passing(nil) {
		t.Error("the user's judgement does not count")
	}
}

// Drivers answer an ended context in their own words.
func TestContextIsRecognised(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &Store{}
	interrupted := codeError(9)
	if err := s.explain(ctx, "saving", "orders", interrupted); !errors.Is(err, context.Canceled) || !errors.Is(err, interrupted) {
		t.Errorf("%v, want context.Canceled and the driver's error", err)
	}
	// The earlier decision counts.
	if err := s.explain(ctx, "saving", "orders", &checkpoint.FencedError{}); !errors.Is(err, checkpoint.ErrFenced) || errors.Is(err, context.Canceled) {
		t.Errorf("a refusal: %v", err)
	}
}
