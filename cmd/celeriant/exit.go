package main

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
	statusOK       = 0
	statusFailed   = 1 // it failed and changed nothing, or it only read
	statusUsage    = 2 // the command line makes no sense
	statusUnknown  = 3 // it was sent and may have been applied
	statusNotFound = 4 // the aggregate, or the version, is not there
	statusConflict = 5 // the state of the aggregate forbids it
)

const statusHelp = `Exit statuses:
  0  done
  1  failed, for a reason that is none of the following
  2  the command line makes no sense
  3  the outcome is unknown: sent, perhaps applied, not acknowledged
  4  not found: the aggregate does not exist or is deleted, the version is trimmed
  5  conflict: another version than expected, a client sequence already stored,
     an aggregate deleted for good, a schema already registered, a checkpoint
     that another watch has or that was made following something else, a rebuild
     whose state forbids it`

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitStatus sorts an error.
func exitStatus(err error) int {
	var usage *usageError
	var option *pool.OptionError
	var nodeOption *celerianttest.OptionError
	var refusal *msg.ServerError
	var locked *checkpoint.LockedError
	var scope *checkpoint.ScopeError
	var step *rebuild.StateError
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &usage), errors.As(err, &option), errors.As(err, &nodeOption):
		return statusUsage
	case msg.Ambiguous(err):
		return statusUnknown
	case isAny(err, msg.ErrNotFound, msg.ErrTrimmed):
		return statusNotFound
	case isAny(err, msg.ErrConflict, msg.ErrDuplicate, msg.ErrInFlight, msg.ErrNotRecreatable, checkpoint.ErrFenced),
		errors.As(err, &locked), errors.As(err, &scope), errors.As(err, &step),
		errors.As(err, &refusal) && refusal.Code == msg.CodeSchemaExists:
		return statusConflict
	}
	return statusFailed
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// usageArgs makes what an argument check finds an error of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}
