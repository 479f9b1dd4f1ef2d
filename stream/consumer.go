package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Consumer is what views and operators need of a running subscription;
// [*Subscription] is one, and documents the methods. Next is for one goroutine at a
// time, everything else is safe for concurrent use.
type Consumer interface {
	// Next waits for the next slice of changes, which belongs to the caller.
	Next(ctx context.Context) ([]Change, error)
	// Commit stores the cursors of handled changes; Committed says that the caller
	// has stored them itself.
	Commit(ctx context.Context, entries []checkpoint.Entry) error
	Committed(entries []checkpoint.Entry)
	// Apply changes records and cursors of the checkpoint, under the claims named.
	Apply(ctx context.Context, m checkpoint.Mutation) error
	// Hold stops the delivery of aggregates, Release goes on at their stored cursors,
	// Redo delivers one from its start.
	Hold(keys ...msg.Key)
	Release(keys ...msg.Key)
	Redo(key msg.Key)
	// Fail ends the subscription with a cause, Close with [ErrClosed]; Close also
	// waits until nothing of it runs.
	Fail(cause error)
	Close(ctx context.Context) error
	// Done is closed at the end; Err is the cause, nil while it runs.
	Done() <-chan struct{}
	Err() error
	// Name and Store are the subscription's checkpoint, Owner the claim it saves
	// under, HandlerVersion what Options declared.
	Name() string
	HandlerVersion() string
	Store() checkpoint.Store
	Owner() checkpoint.Owner
	// State and Stats tell how it fares.
	State() State
	Stats() Stats
	// Handlers are the loops that handle its changes, which Close waits for.
	Handlers() *Handlers
	// ReportRetry shows what the consumer itself tries again in that state,
	// ReportRecovered ends it, and ReportParked names the aggregates that it has set
	// aside.
	ReportRetry(what string, err error, next time.Time)
	ReportRecovered(what string)
	ReportParked(keys []msg.Key)
}

var _ Consumer = (*Subscription)(nil)
