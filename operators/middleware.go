package operators

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// Handler handles one change, see [ForEach].
type Handler = func(ctx context.Context, c stream.Change) error

// Middleware makes a handler of a handler.
type Middleware func(Handler) Handler

// Chain puts middleware around a handler; the first one is outermost.
func Chain(handler Handler, around ...Middleware) Handler {
	for i := len(around) - 1; i >= 0; i-- {
		handler = around[i](handler)
	}
	return handler
}

// Timeout ends the handler's context after d, with a [*TimeoutError] as its cause.
// A handler that ignores its context goes on for as long as it likes: it is not
// abandoned, since it could overlap with the next attempt.
func Timeout(d time.Duration) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, c stream.Change) error {
			ctx, cancel := context.WithTimeoutCause(ctx, d, &TimeoutError{Limit: d})
			defer cancel()
			return next(ctx, c)
		}
	}
}

// TimeoutError is a handler that did not return in time, see [Timeout].
type TimeoutError struct{ Limit time.Duration }

// Error names the limit.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("operators: handler still busy after %v", e.Limit)
}

// Timeout is true.
func (e *TimeoutError) Timeout() bool { return true }

// Limiter paces handlers; *rate.Limiter of golang.org/x/time is one. Wait returns
// when another call may begin, or with an error when ctx ends first.
type Limiter interface {
	Wait(ctx context.Context) error
}

// Limit has each call wait for the limiter. The limiter may be shared between
// consumers. The wait counts as part of the call: a [Timeout] around it bounds
// both.
func Limit(l Limiter) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, c stream.Change) error {
			if err := l.Wait(ctx); err != nil {
				return fmt.Errorf("operators: waiting for the limiter: %w", err)
			}
			return next(ctx, c)
		}
	}
}

// OnlyKinds passes changes of these kinds to the handler and takes all others for
// handled.
func OnlyKinds(kinds ...stream.Kind) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, c stream.Change) error {
			for _, k := range kinds {
				if c.Kind == k {
					return next(ctx, c)
				}
			}
			return nil
		}
	}
}

// SkipReplays returns a middleware that passes over the changes of a rebuild that its
// predecessor has handled already: right for handlers that act on events, whose effects
// have happened. Handlers that build something handle them, too.
func SkipReplays() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, c stream.Change) error {
			if c.Replay {
				return nil
			}
			return next(ctx, c)
		}
	}
}
