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
	// since is delivered as it is notified. It belongs to no aggregate.
	CaughtUp
)

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
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Change is one step in the life of one aggregate, or CaughtUp. Its batch
// may be shared with other subscriptions of the same client: it stays as it is for as
// long as it is held, and is not to be changed.
type Change struct {
	Kind Kind
	// Key is the aggregate; the zero Key for CaughtUp.
	Key msg.Key
	// Batch is set for Batch.
	Batch msg.Batch
	// From and To bound what a Truncated lost, both inclusive.
	From, To uint64
	// Version is the batch an Unreadable names.
	Version uint64
	// Cursor is the position to store once the change has been handled. It is
	// zero for CaughtUp and Unreadable, which move no position.
	Cursor checkpoint.Cursor
}

// Moves reports whether handling the change moves its aggregate's cursor.
func (c *Change) Moves() bool {
	return c.Kind != CaughtUp && c.Kind != Unreadable
}

// String describes the change in a few words, without payloads.
func (c *Change) String() string {
	switch c.Kind {
	case Batch:
		return fmt.Sprintf("batch %d of %v (%d events)", c.Batch.Version, c.Key, len(c.Batch.Events))
	case Truncated:
		return fmt.Sprintf("truncated %d to %d of %v", c.From, c.To, c.Key)
	case Unreadable:
		return fmt.Sprintf("unreadable %d of %v", c.Version, c.Key)
	case CaughtUp:
		return "caught up"
	}
	return fmt.Sprintf("%v %v", c.Kind, c.Key)
}

// Entries returns the cursors to store once all of changes have been handled:
// the last one of each aggregate, in the order of first appearance.
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
		entries = append(entries, checkpoint.Entry{Key: c.Key, Cursor: c.Cursor})
	}
	return entries
}
