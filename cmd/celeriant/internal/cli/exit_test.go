package cli

import (
	"errors"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func TestExitStatus(t *testing.T) {
	refused := func(code msg.Code) error {
		return fmt.Errorf("lines 1 to 2: %w", &pool.Error{Op: "write", Mutation: true, Sent: true, Err: &msg.ServerError{Code: code}})
	}
	lost := &pool.Error{Op: "write", Mutation: true, Sent: true, Err: pool.ErrConnectionLost}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{refused(msg.CodeReadOnlyKey), 1},
		{refused(msg.CodeServerBusy), 1},
		{refused(msg.CodeSchemaMismatch), 1},
		{&pool.Error{Op: "write", Mutation: true, Err: pool.ErrConnect}, 1},
		{&pool.Error{Op: "read", Sent: true, Err: pool.ErrConnectionLost}, 1},
		{fmt.Errorf("x: %w", Usagef("y")), 2},
		{&pool.OptionError{}, 2},
		{lost, 3},
		{errors.Join(nil, fmt.Errorf("lines: %w", lost)), 3},
		{refused(msg.CodeWriteReplication), 3},
		{refused(msg.CodeReadNotFound), 4},
		{refused(msg.CodeDetailsNotFound), 4},
		{refused(msg.CodeVersionUnavailable), 4},
		{refused(msg.CodeVersionConflict), 5},
		{refused(msg.CodeDeleteConflict), 5},
		{refused(msg.CodeDuplicate), 5},
		{refused(msg.CodeInFlight), 5},
		{refused(msg.CodeRecreateNotAllowed), 5},
		{refused(msg.CodeSchemaExists), 5},
		{fmt.Errorf("x: %w", &checkpoint.FencedError{}), 5},
		{fmt.Errorf("x: %w", &checkpoint.LockedError{}), 5},
		{fmt.Errorf("x: %w", &checkpoint.ScopeError{}), 5},
		{fmt.Errorf("x: %w", &checkpoint.DamagedError{}), 1},
	} {
		if got := ExitStatus(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}
