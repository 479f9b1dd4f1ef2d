package operators

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Source opens subscriptions. celeriant.Observable is one; each call is a
// subscription of its own, which continues from the cursors stored under its
// name. ctx bounds only the opening. The caller closes what it opened.
type Source interface {
	Open(ctx context.Context) (stream.Consumer, error)
}

// StoreSource is a Source that knows its checkpoint store before a subscription
// is opened. Operators that need more of a store than it offers refuse it then,
// before they take the ownership from a consumer that works.
type StoreSource interface {
	Source
	// Store returns the checkpoint store, nil where each subscription has one of
	// its own in memory.
	Store() checkpoint.Store
}

// Flow is a pull of slices. Next waits until there is one or ctx ends; the
// end of ctx returns its cause, loses nothing and ends nothing: Next may be
// called again. Any other error is final and comes again with each call; what
// precedes it is handed out first. One goroutine at a time.
type Flow[T any] interface {
	Next(ctx context.Context) (Slice[T], error)
}

// Slice is a run of items and the positions they stand for. A Slice belongs to
// the receiver. Items may be empty although Marks are not: then everything was
// filtered out, and the cursors may be stored all the same.
type Slice[T any] struct {
	Items []T
	// Marks has one element for each change, in order.
	Marks []Mark
}

// Mark is the position of one change in a slice.
type Mark struct {
	Kind stream.Kind
	Key  msg.Key
	// Cursor is what to store once the change was handled; zero for the kinds
	// that move none.
	Cursor checkpoint.Cursor
	// Bytes is the payload size of the change's events.
	Bytes int
	// End counts the items made of this change and those before it.
	End int
}

// moves mirrors [stream.Change.Moves].
func (m *Mark) moves() bool { return m.Kind != stream.CaughtUp && m.Kind != stream.Unreadable }

// Entries returns the cursors to store once all items were handled: the last
// one of each aggregate, in the order of first appearance.
func (s Slice[T]) Entries() []checkpoint.Entry { return entries(s.Marks) }

func entries(marks []Mark) []checkpoint.Entry {
	out := make([]checkpoint.Entry, 0, len(marks))
	at := make(map[msg.Key]int, len(marks))
	for i := range marks {
		m := &marks[i]
		if !m.moves() {
			continue
		}
		if n, ok := at[m.Key]; ok {
			out[n].Cursor = m.Cursor
			continue
		}
		at[m.Key] = len(out)
		out = append(out, checkpoint.Entry{Key: m.Key, Cursor: m.Cursor})
	}
	return out
}

// Puller hands out slices of changes; [*stream.Subscription] is one.
type Puller interface {
	Next(ctx context.Context) ([]stream.Change, error)
}

// Changes makes a Flow of a subscription: every change is one item. Changes
// stores no cursors and does not end the subscription.
func Changes(p Puller) Flow[stream.Change] { return changes{p} }

type changes struct{ from Puller }

func (c changes) Next(ctx context.Context) (Slice[stream.Change], error) {
	items, err := c.from.Next(ctx)
	if err != nil {
		return Slice[stream.Change]{}, err
	}
	marks := make([]Mark, len(items))
	for i := range items {
		marks[i] = markOf(&items[i], i+1)
	}
	return Slice[stream.Change]{Items: items, Marks: marks}, nil
}

func markOf(c *stream.Change, end int) Mark {
	m := Mark{Kind: c.Kind, Key: c.Key, Cursor: c.Cursor, End: end}
	for i := range c.Batch.Events {
		m.Bytes += len(c.Batch.Events[i].Value)
	}
	return m
}
