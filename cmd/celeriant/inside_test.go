package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Being part of this package also makes the cached results of the tests of
// the built tool depend on its sources.

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
		{fmt.Errorf("x: %w", usagef("y")), 2},
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
		if got := exitStatus(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

// A trim before anything is read moves the beginning, a trim in the middle of
// a read leaves a gap that must not go unnoticed.
func TestReadableShowsNoGap(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	client, err := pool.New(pool.Options{Address: node.Addr(), PageBytes: 4 << 10}) // 16 versions at first
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	key := msg.Key{Aggregate: msg.IDFromUint64(1)}
	for range 40 {
		if _, err := client.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1}}, msg.ID{}, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var versions []uint64
	for batch, err := range readable(t.Context(), client, key, msg.ReadFilters{}) {
		if err != nil {
			if !errors.Is(err, msg.ErrTrimmed) || len(versions) != 16 {
				t.Errorf("after versions %v: %v", versions, err)
			}
			return
		}
		versions = append(versions, batch.Version)
		if len(versions) == 1 {
			if err := client.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: 30}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Errorf("versions %v, and no error", versions)
}
