package node

// grant is what a waiter is woken with: a connection, or why there will be none.
type grant struct {
	conn *leased
	err  error
}

// waiter is one caller in line for a connection. Its channel holds the grant,
// so that whoever grants never blocks.
type waiter struct {
	ready      chan grant
	prev, next *waiter
	queued     bool
}

func newWaiter() *waiter { return &waiter{ready: make(chan grant, 1)} }

// waitQueue is the line, first come first served. Its owner's mutex guards it.
type waitQueue struct {
	first, last *waiter
	length      int
}

func (q *waitQueue) push(w *waiter) {
	w.prev, w.next, w.queued = q.last, nil, true
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.length++
}

// remove takes w out of the line; false means that it was granted already.
func (q *waitQueue) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.length--
	return true
}

// grantLast wakes the last in line; false means that nobody waits.
func (q *waitQueue) grantLast(g grant) bool {
	w := q.last
	if w == nil {
		return false
	}
	q.remove(w)
	w.ready <- g
	return true
}

// grant wakes the first in line; false means that nobody waits.
func (q *waitQueue) grant(g grant) bool {
	w := q.first
	if w == nil {
		return false
	}
	q.remove(w)
	w.ready <- g
	return true
}
