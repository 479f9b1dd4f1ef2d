package stream

import "github.com/celeriant/celeriant-go/msg"

const (
	// maxPending bounds the merged notifications that wait for one subscriber: the node's
	// own bound for a subscriber that does not read.
	maxPending = 10_000
	// keptPending is the queue that is kept for the next frames; a larger one was
	// grown by a burst and is given back.
	keptPending = 256
)

// hintQueue holds the notifications that one subscriber has not taken yet: one entry
// for each aggregate and operation, merged as the node merges within its latency.
type hintQueue struct {
	pending []msg.Notification
	at      map[hintSlot]int
	spare   []msg.Notification
}

type hintSlot struct {
	key msg.Key
	op  msg.Operation
}

// add merges a notification in; false if there is no room for it.
func (q *hintQueue) add(n *msg.Notification) bool {
	slot := hintSlot{n.Key, n.Operation}
	if i, ok := q.at[slot]; ok {
		merge(&q.pending[i], n)
		return true
	}
	if len(q.pending) >= maxPending {
		return false
	}
	if q.at == nil {
		q.at = make(map[hintSlot]int)
	}
	q.at[slot] = len(q.pending)
	q.pending = append(q.pending, *n)
	return true
}

// merge widens a by b. A version that one of them does not name stays unnamed: the
// reader must look for the head itself.
func merge(a *msg.Notification, b *msg.Notification) {
	a.From = least(a.From, b.From)
	a.To = most(a.To, b.To)
	a.KeepFrom = most(a.KeepFrom, b.KeepFrom)
}

func least(a, b msg.Opt[uint64]) msg.Opt[uint64] {
	if !a.Set || !b.Set {
		return msg.None[uint64]()
	}
	return msg.Some(min(a.Value, b.Value))
}

func most(a, b msg.Opt[uint64]) msg.Opt[uint64] {
	if !a.Set || !b.Set {
		return msg.None[uint64]()
	}
	return msg.Some(max(a.Value, b.Value))
}

// take returns what is pending; the slice is valid until the next take.
func (q *hintQueue) take() []msg.Notification {
	taken := q.pending
	q.pending, q.spare = q.spare[:0], taken
	if len(q.at) > keptPending {
		q.at = nil
	}
	if cap(taken) > keptPending {
		q.spare = nil
	}
	clear(q.at)
	return taken
}

func (q *hintQueue) drop() { *q = hintQueue{} }
