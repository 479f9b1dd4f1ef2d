package stream

import (
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Kind tells what a Change is.
type Kind uint8

// The kinds of changes.
const (
	// Batch is one committed batch, whole.
	Batch Kind = iota + 1
	// Deleted says that the aggregate was deleted: what was built of it is
	// void. If it is written again, what follows starts at the first batch
	// readable of its new life.
	Deleted
	// Reset says that the log under the cursor is another one than before,
	// because the aggregate was deleted and recreated or lost its tail: what
	// was built of it is void, what follows starts at the first readable batch.
	Reset
	// Truncated says that the batches From to To, both inclusive, were trimmed
	// before they could be delivered.
	Truncated
	// Unreadable says that the node cannot deliver the batch at Version, for
	// instance because it exceeds the node's response limit. The aggregate is
	// parked; others flow on.
	Unreadable
	// CaughtUp says that everything committed before the watches were
	// acknowledged has been delivered ahead of this change; what was committed
	// since is delivered as it is notified. The change belongs to no aggregate.
	CaughtUp
	// Gained says that this consumer has taken over Partition: changes of its
	// aggregates follow. The change belongs to no aggregate. Only members of a group
	// see it.
	Gained
	// Lost says that Partition is another consumer's from now on, because of
	// Reason: nothing of it follows until the next Gained, and what was delivered
	// of it and not stored is handled by the next owner. Only members of a group
	// see it.
	Lost
)

// Reason tells why a partition was lost.
type Reason uint8

// The reasons of a Lost.
const (
	// Revoked: the partition was given to another member.
	Revoked Reason = iota + 1
	// Expired: the claim could not be renewed in time.
	Expired
)

// String returns the reason in lower case.
func (r Reason) String() string {
	switch r {
	case Revoked:
		return "revoked"
	case Expired:
		return "expired"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Versions is a range of versions, both ends inclusive; the zero value is none.
type Versions struct{ From, To uint64 }

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Batch:
		return "batch"
	case Deleted:
		return "deleted"
	case Reset:
		return "reset"
	case Truncated:
		return "truncated"
	case Unreadable:
		return "unreadable"
	case CaughtUp:
		return "caught_up"
	case Gained:
		return "gained"
	case Lost:
		return "lost"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Change is one step in the life of one aggregate, or a message about the
// subscription: CaughtUp, Gained, Lost. Its batch may be shared with other
// subscriptions of the same client: it stays as it is for as long as it is held, and
// is not to be changed. Payloads of one page share memory, so that a payload that is
// kept keeps its page, up to some MiB; keep a [Change.Clone] in its place.
type Change struct {
	Kind Kind
	// Key is the aggregate; the zero Key for CaughtUp, Gained and Lost.
	Key msg.Key
	// Batch is set for Batch.
	Batch msg.Batch
	// From and To bound what a Truncated lost, both inclusive.
	From, To uint64
	// Version is the batch an Unreadable names.
	Version uint64
	// Cursor is the position to store once the change has been handled. The
	// cursor is zero for the kinds that move no position, see [Change.Moves].
	Cursor checkpoint.Cursor
	// Previous is the position that this change follows: the Cursor of the change
	// of the aggregate delivered before, or what was stored when the subscription
	// began with it. Zero for an aggregate seen for the first time.
	Previous checkpoint.Cursor
	// Owner is the claim under which the change was delivered and may be stored.
	Owner checkpoint.Owner
	// Partition is the partition of the aggregate, or the one that Gained and Lost
	// are about; 0 without partitions.
	Partition uint32
	// Replay says that the predecessor of a rebuild has handled this change already.
	Replay bool
	// Unhandled is set for a Deleted, Reset or Truncated that ended the parking of
	// its aggregate: these versions were parked and will never be handled.
	Unhandled Versions
	// Reason tells why a Lost came.
	Reason Reason
}

// Moves reports whether handling the change moves its aggregate's cursor.
func (c *Change) Moves() bool {
	switch c.Kind {
	case CaughtUp, Unreadable, Gained, Lost:
		return false
	}
	return true
}

// ofAggregate reports whether the change is of an aggregate.
func (c *Change) ofAggregate() bool { return c.Moves() || c.Kind == Unreadable }

// Clone returns a deep copy that shares no memory with other changes.
func (c *Change) Clone() Change {
	clone := *c
	if c.Kind == Batch {
		clone.Batch = c.Batch.Clone()
	}
	return clone
}

// String describes the change in a few words, without payloads.
func (c *Change) String() string {
	switch c.Kind {
	case Batch:
		events := "events"
		if len(c.Batch.Events) == 1 {
			events = "event"
		}
		return fmt.Sprintf("batch %d of %v (%d %s)", c.Batch.Version, c.Key, len(c.Batch.Events), events)
	case Truncated:
		return fmt.Sprintf("truncated %d to %d of %v", c.From, c.To, c.Key)
	case Unreadable:
		return fmt.Sprintf("unreadable %d of %v", c.Version, c.Key)
	case CaughtUp:
		return "caught up"
	case Gained:
		return fmt.Sprintf("gained partition %d", c.Partition)
	case Lost:
		return fmt.Sprintf("lost partition %d: %v", c.Partition, c.Reason)
	}
	return fmt.Sprintf("%v %v", c.Kind, c.Key)
}

// Entries returns the cursors to store once all of changes have been handled:
// the last one of each aggregate, in the order of first appearance. Each names the
// cursor that the aggregate's first change follows, and is to be compared with what is
// stored: a transaction that was applied already is refused with a
// [*checkpoint.AppliedError]. [Subscription.Commit] does not compare.
func Entries(changes []Change) []checkpoint.Entry {
	entries := make([]checkpoint.Entry, 0, len(changes))
	at := make(map[msg.Key]int, len(changes))
	for i := range changes {
		c := &changes[i]
		if !c.Moves() {
			continue
		}
		if n, ok := at[c.Key]; ok {
			entries[n].Cursor = c.Cursor
			continue
		}
		at[c.Key] = len(entries)
		entries = append(entries, checkpoint.Entry{Key: c.Key, Cursor: c.Cursor, From: c.Previous, Compare: true})
	}
	return entries
}
