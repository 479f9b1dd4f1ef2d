package stream

import (
	"fmt"
	"time"
)

// Phase is what a subscription is doing.
type Phase uint8

// The phases. A subscription moves Connecting → CatchingUp → Live; a lost
// shard leads to Reconnecting and back through CatchingUp. Closed is final.
const (
	Connecting Phase = iota
	CatchingUp
	Live
	Reconnecting
	Closed
)

// String returns the phase's name in lower case.
func (p Phase) String() string {
	switch p {
	case Connecting:
		return "connecting"
	case CatchingUp:
		return "catching up"
	case Live:
		return "live"
	case Reconnecting:
		return "reconnecting"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// State is a subscription's condition at one moment. Recoverable trouble is a
// state, never an error.
type State struct {
	Phase Phase
	// Since is when the phase began.
	Since time.Time
	// Shard is the shard a Reconnecting is about.
	Shard uint64
	// Cause is why a shard was lost or the node could not be reached, the terminal
	// cause of Closed, or else the failure of what is retried for longest; nil if all
	// is well.
	Cause error
	// Retrying is what fails and is tried again at present, in whatever phase, the
	// oldest first; of Closed, what failed when it ended.
	Retrying []Retrying
}

// with returns the state with what is retried.
func (s State) with(retrying []Retrying) State {
	s.Retrying = retrying
	if s.Cause == nil && len(retrying) > 0 {
		s.Cause = retrying[0].Err
	}
	return s
}

// String describes the state in a few words.
func (s State) String() string {
	switch {
	case s.Phase == Reconnecting:
		return fmt.Sprintf("reconnecting shard %d: %v", s.Shard, s.Cause)
	case s.Cause != nil:
		return fmt.Sprintf("%v: %v", s.Phase, s.Cause)
	}
	return s.Phase.String()
}

// Stats is a snapshot of a subscription's work.
type Stats struct {
	State State
	// Shards is the number of shards, Subscribed how many are acknowledged.
	Shards, Subscribed int
	// Dirty is the number of aggregates known to have something to deliver.
	Dirty int
	// Parked is the number of aggregates that the consumer has set aside, as it told by
	// ReportParked: nothing of them is handled until a person decides. Unreadable is the
	// number of those that rest since a batch of theirs cannot be read, see [Unreadable].
	Parked, Unreadable int
	// Buffered is the number of payload bytes read but not yet taken by the consumer,
	// Buffer its bound, which a single larger batch may exceed.
	Buffered, Buffer int64
	// Reconnects counts shard connections lost and opened again.
	Reconnects uint64
	// Notifications, Reads, Lists and Batches count what was received, asked
	// and delivered.
	Notifications, Reads, Lists, Batches uint64
	// Untrusted counts pages thrown away because their versions did not ascend.
	Untrusted uint64
	// Moves counts watches moved to another node before they were lost.
	Moves uint64
	// Lag is for how long a follower that is watched has been known not to show
	// something the leader does; 0 while it keeps up.
	Lag time.Duration
	// Behind is the number of versions notified or listed and not delivered yet, of
	// aggregates whose cursors have been looked up.
	Behind uint64
	// Listing is the number of shards being reconciled, Listed the number of
	// aggregates their lists have shown so far.
	Listing, Listed int
	// Waiting is the number of changes delivered and not taken by the consumer.
	Waiting int
	// Unhandled is the number of versions known of and not committed: what waits in a
	// buffer, in a handler or for its next attempt is not done. OldestPending is the server's time of the oldest
	// of them, or when it was heard of if it was not read yet; zero if none waits.
	Unhandled     uint64
	OldestPending time.Time
	// LastCommit is when cursors were stored last, by the clock here; zero before the
	// first time.
	LastCommit time.Time
	// Partitions is the number of partitions owned here, OfPartitions how many the
	// subscription is divided into; both are 0 for one that is not shared by leases.
	Partitions, OfPartitions int
	// Retrying is what fails and is tried again at present, as in State.
	Retrying []Retrying
	// Cause is why the subscription ended; nil while it runs.
	Cause error
}
