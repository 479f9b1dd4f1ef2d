package watch

import (
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// Queue holds what a subscriber has not been sent yet. Offering never blocks:
// a queue that is full is closed, what it holds can still be taken, and that
// is all the subscriber gets (server semantics 7.5).
type Queue struct {
	mu       sync.Mutex
	items    []msg.Notification
	limit    int
	overflow bool
	ready    chan struct{}
}

// NewQueue returns an empty queue of at most limit notifications.
func NewQueue(limit int) *Queue {
	return &Queue{limit: limit, ready: make(chan struct{}, 1)}
}

// Offer appends n, or closes the queue for good when it is full and returns false.
func (q *Queue) Offer(n msg.Notification) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.overflow {
		return false
	}
	if len(q.items) >= q.limit {
		q.overflow = true
	} else {
		q.items = append(q.items, n)
	}
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return !q.overflow
}

// Ready yields a value after an Offer; one value may stand for many offers.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Peek copies up to len(into) of the oldest notifications. The notifications
// keep their place, and count as undelivered, until Discard. over is true when
// nothing is left and nothing will come.
func (q *Queue) Peek(into []msg.Notification) (n int, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = copy(into, q.items)
	return n, n == 0 && q.overflow
}

// Discard removes the n oldest notifications.
func (q *Queue) Discard(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = q.items[n:]
	if len(q.items) == 0 {
		// A burst must not pin its memory for the rest of a long watch.
		q.items = nil
	}
}
