package await

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Hooks are told of waits, for metrics and traces. Hooks that are nil cost nothing.
type Hooks struct {
	// Ended is called at the end of each wait, in the goroutine that waited and with its
	// context, which may have ended. Ended must be safe for concurrent use and should
	// not block. A panic in it is the waiter's.
	Ended func(context.Context, Ended)
}

// Ended is a wait that has ended.
type Ended struct {
	Name    string
	Key     msg.Key
	Version uint64
	// Duration is how long it waited.
	Duration time.Duration
	// Err is what Await returns.
	Err error
}

// WithHooks calls hooks. Default: none. Waits that are refused before they begin, for the
// name or the scope, are not told of.
func WithHooks(h Hooks) Option {
	return func(w *Waiters) { w.hooks = h }
}
