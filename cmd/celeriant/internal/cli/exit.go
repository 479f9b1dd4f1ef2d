package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// The exit statuses of every command.
const (
	StatusOK       = 0
	statusFailed   = 1 // it failed and changed nothing, or it only read
	StatusUsage    = 2 // the command line makes no sense
	statusUnknown  = 3 // it was sent and may have been applied
	statusNotFound = 4 // the aggregate, or the version, is not there
	statusConflict = 5 // the state of the aggregate forbids it
)

const StatusHelp = `Exit statuses:
  0  done
  1  failed, for a reason that is none of the following
  2  the command line makes no sense
  3  the outcome is unknown: sent, perhaps applied, not acknowledged
  4  not found: the aggregate does not exist or is deleted, the version is trimmed
  5  conflict: another version than expected, a client sequence already stored,
     an aggregate deleted for good, a schema already registered, a checkpoint
     that another watch has or that was made following something else, a rebuild
     whose state forbids it`

// UsageError is a command line that makes no sense.
type UsageError struct{ err error }

// Error returns the error.
func (e *UsageError) Error() string { return e.err.Error() }

// Unwrap returns the error.
func (e *UsageError) Unwrap() error { return e.err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// ExitStatus sorts an error.
func ExitStatus(err error) int {
	var usage *UsageError
	var option *pool.OptionError
	var nodeOption *celerianttest.OptionError
	var refusal *msg.ServerError
	var locked *checkpoint.LockedError
	var scope *checkpoint.ScopeError
	var step *rebuild.StateError
	switch {
	case err == nil:
		return StatusOK
	case errors.As(err, &usage), errors.As(err, &option), errors.As(err, &nodeOption):
		return StatusUsage
	case msg.Ambiguous(err):
		return statusUnknown
	case IsAny(err, msg.ErrNotFound, msg.ErrTrimmed):
		return statusNotFound
	case IsAny(err, msg.ErrConflict, msg.ErrDuplicate, msg.ErrInFlight, msg.ErrNotRecreatable, checkpoint.ErrFenced),
		errors.As(err, &locked), errors.As(err, &scope), errors.As(err, &step),
		errors.As(err, &refusal) && refusal.Code == msg.CodeSchemaExists:
		return statusConflict
	}
	return statusFailed
}

// IsAny reports whether an error is one of the targets.
func IsAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// NoArgs refuses every argument as an error of usage.
func NoArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("no arguments are taken, but there is %q", args[0])
	}
	return nil
}

// UsageArgs makes what an argument check finds an error of usage.
func UsageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &UsageError{err}
		}
		return nil
	}
}
