package celeriant_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

func TestEnded(t *testing.T) {
	running := context.Background()
	stopped, stop := context.WithCancelCause(running)
	stop(errStop)
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want bool
	}{
		{running, nil, true},
		{running, stream.ErrClosed, true},
		{running, fmt.Errorf("closing: %w", celeriant.ErrClosed), true},
		{running, context.Canceled, false},
		{running, checkpoint.ErrFenced, false},
		{stopped, errStop, true},
		{stopped, fmt.Errorf("waiting: %w", context.Canceled), true},
		{stopped, checkpoint.ErrFenced, false},
		{stopped, errors.New("handler"), false},
	} {
		if got := celeriant.Ended(c.ctx, c.err); got != c.want {
			t.Errorf("Ended with %v is %v", c.err, got)
		}
	}
}

// A loop that is stopped reports nothing.
func ExampleEnded() {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	err := fmt.Errorf("handling orders: %w", context.Cause(ctx))
	fmt.Println(celeriant.Ended(ctx, err), celeriant.Ended(ctx, checkpoint.ErrFenced))
	// Output: true false
}
