package stream

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Consumer is one running subscription as the code that consumes it sees it: a
// pull of slices, and the saving of positions. [*Subscription] is one; others
// stand on another transport. Next is for one goroutine at a time; everything
// else is safe for concurrent use.
type Consumer interface {
	// Next returns the next slice of changes, see [Subscription.Next].
	Next(ctx context.Context) ([]Change, error)
	// Commit stores the cursors of handled changes, see [Subscription.Commit].
	Commit(ctx context.Context, entries []checkpoint.Entry) error
	// Committed says that the caller stored the cursors itself.
	Committed(entries []checkpoint.Entry)
	// Owner is the claim under which cursors are saved.
	Owner() checkpoint.Owner
	// Name is the name cursors are stored under, Store the store.
	Name() string
	Store() checkpoint.Store
	// State and Stats tell how the subscription is.
	State() State
	Stats() Stats
	// Fail ends the subscription with a cause of the consumer's own.
	Fail(cause error)
	// Close ends it and waits until nothing of it runs, or until ctx ends.
	Close(ctx context.Context) error
	// Done is closed when it has ended and nothing of it runs; Err is the
	// terminal cause, nil while it runs.
	Done() <-chan struct{}
	Err() error
}

var _ Consumer = (*Subscription)(nil)
