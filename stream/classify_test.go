package stream

import (
	"errors"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// A request that can never succeed ends a subscription; all others are tried again.
func TestClassify(t *testing.T) {
	refused := func(code msg.Code) error { return &msg.ServerError{Code: code} }
	failed := func(sent bool, err error) error { return &pool.Error{Op: "read", Sent: sent, Err: err} }
	floor := &msg.ServerError{Code: msg.CodeVersionUnavailable, Fields: msg.ErrorFields{MinimumAvailable: msg.Some(uint64(7))}}
	for _, c := range []struct {
		err     error
		kind    engine.FailureKind
		minimum uint64
	}{
		{errors.New("whatever"), engine.Unavailable, 0},
		{pool.ErrClosed, engine.Permanent, 0},
		{failed(false, pool.ErrInvalid), engine.Permanent, 0},
		{failed(false, pool.ErrTooLarge), engine.Permanent, 0},
		{ErrShareClosed, engine.Permanent, 0},
		{failed(true, pool.ErrResponseTooLarge), engine.TooLarge, 0},
		{failed(true, pool.ErrRequestTimeout), engine.Silent, 0},
		{failed(false, pool.ErrRequestTimeout), engine.Unavailable, 0},
		{failed(true, pool.ErrConnect), engine.Unavailable, 0},
		{refused(msg.CodeReadNotFound), engine.NotFound, 0},
		{floor, engine.BelowFloor, 7},
		{refused(msg.CodeVersionUnavailable), engine.Refused, 0},
		{refused(msg.CodeReadCacheTimeout), engine.Refused, 0},
		{refused(msg.CodeReadDataBlocks), engine.Silent, 0},
		{refused(msg.CodeReadMetadataBlocks), engine.Silent, 0},
		{refused(msg.CodeWatchLatency), engine.Permanent, 0},
		{refused(msg.CodeWatchInvalid), engine.Permanent, 0},
		{refused(msg.CodeRouting), engine.Permanent, 0},
		{refused(msg.CodeSeveralShards), engine.Permanent, 0},
	} {
		err := fmt.Errorf("asking: %w", c.err)
		if f := classify(err); f.Kind != c.kind || f.Minimum != c.minimum || f.Err != err {
			t.Errorf("%v is %+v, want kind %d", err, f, c.kind)
		}
	}
}

func TestClassifyStore(t *testing.T) {
	for _, final := range []error{
		checkpoint.ErrFenced, checkpoint.ErrClosed, checkpoint.ErrFailed, &checkpoint.RegressionError{},
		&checkpoint.DamagedError{}, &checkpoint.VersionError{}, &checkpoint.NameError{}, &checkpoint.SizeError{},
	} {
		if err := fmt.Errorf("loading: %w", final); !permanent(err) || classifyStore(err).Kind != engine.Permanent {
			t.Errorf("%v is tried again", err)
		}
	}
	if err := errors.New("the disk is away"); permanent(err) || classifyStore(err).Kind != engine.Unavailable {
		t.Errorf("%v ends the subscription", err)
	}
}
