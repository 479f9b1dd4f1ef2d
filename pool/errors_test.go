package pool_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func TestErrorVerdicts(t *testing.T) {
	refusal := func(code msg.Code) error { return &msg.ServerError{Code: code} }
	for _, c := range []struct {
		name            string
		err             pool.Error
		ambiguous, safe bool
	}{
		{"write lost after sending", pool.Error{Mutation: true, Sent: true, Err: io.EOF}, true, false},
		{"write lost before sending", pool.Error{Mutation: true, Err: io.EOF}, false, true},
		{"read lost after sending", pool.Error{Sent: true, Err: io.EOF}, false, true},
		{"write refused: conflict", pool.Error{Mutation: true, Sent: true, Err: refusal(msg.CodeVersionConflict)}, false, false},
		{"write refused: not leader", pool.Error{Mutation: true, Sent: true, Err: refusal(msg.CodeWriteNotLeader)}, false, true},
		{"write failed in replication", pool.Error{Mutation: true, Sent: true, Err: refusal(msg.CodeWriteReplication)}, true, false},
		{"write answered with an unknown code", pool.Error{Mutation: true, Sent: true, Err: refusal(4711)}, true, false},
		{"read answered with an unknown code", pool.Error{Sent: true, Err: refusal(4711)}, false, false},
		{"write on a busy node's Identify", pool.Error{Mutation: true, Err: refusal(msg.CodeServerBusy)}, false, true},
		{"write without credentials", pool.Error{Mutation: true, Err: refusal(msg.CodeAPIKeyInvalid)}, false, false},
		{"write on a closed pool", pool.Error{Mutation: true, Err: pool.ErrClosed}, false, false},
		{"write on a connection refused by TLS", pool.Error{Mutation: true, Sent: true, Err: fmt.Errorf("%w: alert", pool.ErrConnect)}, false, true},
		{"that, and an attempt in doubt", pool.Error{Mutation: true, Sent: true, Unsure: true, Err: fmt.Errorf("%w: alert", pool.ErrConnect)}, true, false},
		{"write cut by Close", pool.Error{Mutation: true, Sent: true, Err: pool.ErrClosed}, true, false},
		{"too large", pool.Error{Mutation: true, Err: pool.ErrTooLarge}, false, false},
		{"read whose answer is too large", pool.Error{Sent: true, Err: pool.ErrResponseTooLarge}, false, false},
		{"invalid", pool.Error{Mutation: true, Err: pool.ErrInvalid}, false, false},
		{"nobody gave a connection back", pool.Error{Mutation: true, Err: pool.ErrPoolTimeout}, false, true},
	} {
		err := error(&c.err)
		if got := msg.Ambiguous(err); got != c.ambiguous {
			t.Errorf("%s: ambiguous %v", c.name, got)
		}
		if got := msg.SafeToRetry(err); got != c.safe {
			t.Errorf("%s: safe to retry %v", c.name, got)
		}
		if !errors.Is(err, c.err.Err) {
			t.Errorf("%s: the cause is hidden", c.name)
		}
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("cause")
	for want, err := range map[string]pool.Error{
		"pool: list organisations: cause":                                 {Op: "list organisations", Err: cause},
		"pool: read " + key.String() + " at n:1: cause":                   {Op: "read", Node: "n:1", Key: msg.Some(key), Sent: true, Err: cause},
		"pool: write " + key.String() + " at n:1: cause":                  {Op: "write", Node: "n:1", Key: msg.Some(key), Mutation: true, Err: cause},
		"pool: write " + key.String() + " at n:1: cause: outcome unknown": {Op: "write", Node: "n:1", Key: msg.Some(key), Mutation: true, Sent: true, Err: cause},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
