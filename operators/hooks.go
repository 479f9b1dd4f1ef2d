package operators

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Hooks are told what ForEach and Project do, for metrics and traces. Each is nil
// if unused, which costs nothing. Hooks are called without a lock held, from
// several goroutines at once, and must not block. A panic in one is logged and ends
// nothing.
type Hooks struct {
	// Handled is called after each call of a handler, whatever came of it.
	Handled func(HandledInfo)
	// Verdict is called after each failure with what follows it.
	Verdict func(VerdictInfo)
	// Parked is called once it is stored that an aggregate is parked, Unparked when
	// its parking has ended.
	Parked   func(ParkedInfo)
	Unparked func(ParkedInfo)
	// Paused is called when what is paused has changed, see checkpoint.RequestPause:
	// from then on nothing of it begins.
	Paused func(PausedInfo)
	// Gained is called before the first change of a partition that this consumer has
	// gained is handled, so that a handler can prepare for it; Lost once nothing more of
	// a partition begins, while the contexts of handlers that are at it have ended.
	// Both come one at a time, in the order of the changes, and hold up further ones.
	// Subscriptions without leases call neither.
	Gained, Lost func(PartitionInfo)
	// Transaction is called after each attempt at a transaction of Project.
	Transaction func(TransactionInfo)
}

// HandledInfo is one call of a handler.
type HandledInfo struct {
	Kind stream.Kind
	// Key and Version are those of the first change.
	Key     msg.Key
	Version uint64
	// Changes is the number of changes, 1 for ForEach.
	Changes int
	// Attempt counts the attempts at the change, this one included.
	Attempt  int
	Duration time.Duration
	Err      error
}

// VerdictInfo is what follows a failure.
type VerdictInfo struct {
	Failure Failure
	// Verdict is what is done, which may be Retry where another one was given.
	Verdict Verdict
	// Next is the time of the next attempt after a Retry.
	Next time.Time
}

// ParkedInfo is a parking that began or ended.
type ParkedInfo struct {
	Key      msg.Key
	Version  uint64
	Attempts int
	Err      error
	// How tells how a parking ended: "released", "skipped", or "void" when a
	// Deleted, Reset or Truncated ended it.
	How string
}

// PausedInfo is what is paused.
type PausedInfo struct {
	// All tells that the whole subscription is; Aggregates counts those that are by
	// themselves, also of other members.
	All        bool
	Aggregates int
}

// PartitionInfo is a partition that was gained or lost.
type PartitionInfo struct {
	Partition uint32
	// Owner is the claim.
	Owner checkpoint.Owner
	// Reason is why it was lost.
	Reason stream.Reason
}

// TransactionInfo is one attempt at a transaction.
type TransactionInfo struct {
	// Changes is the number of changes in it.
	Changes  int
	Duration time.Duration
	Err      error
}

// tell calls a hook, if there is one.
func tell[T any](s *settings, hook func(T), info func() T) {
	if hook == nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			s.logger.Error("a hook panicked", "panic", value)
		}
	}()
	hook(info())
}
