package operators

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/stream"
)

// ErrStopTimeout is the cause of a handler's context that ended because the
// handler went on for too long after a stop.
var ErrStopTimeout = errors.New("operators: handler still busy after the stop timeout")

// grace returns a context that outlives ctx by timeout: handlers in flight are
// to finish when the intake stops.
func grace(ctx context.Context, timeout time.Duration) (context.Context, func()) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	watched := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(fmt.Errorf("%w: %v", ErrStopTimeout, timeout))
		case <-work.Done():
		}
	})
	return work, func() {
		watched()
		cancel(context.Canceled)
	}
}

// finish ends the subscription with the cause and waits for it.
func finish(ctx context.Context, sub stream.Consumer, cause error, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	cause = rebuild.Explain(ctx, sub.Store(), sub.Name(), cause) // of a fence that a cut-over raised
	sub.Fail(cause)
	if err := sub.Close(ctx); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}
