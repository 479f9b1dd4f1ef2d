package stream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// mailbox hands slices of changes from the engine to the consumer. The mailbox
// needs no bound of its own: the engine reads nothing ahead of Options.Buffer.
type mailbox struct {
	mu     sync.Mutex
	queue  []delivery
	head   int
	closed error
	// held is what the consumer is at, if it asked to be told; gone are the keys in
	// it that have left the scope since it was taken, removals how often some did.
	held     []Change
	gone     map[msg.Key]struct{}
	removals atomic.Uint64
	// wake holds a token when something was put or the box was closed.
	wake chan struct{}
}

// keptDeliveries is the room that is kept for the next ones.
const keptDeliveries = 256

type delivery struct {
	changes []Change
	bytes   int64
}

func (b *mailbox) init() { b.wake = make(chan struct{}, 1) }

// put never blocks.
func (b *mailbox) put(changes []Change, bytes int64) {
	b.mu.Lock()
	if b.closed == nil {
		b.queue = append(b.queue, delivery{changes, bytes})
	}
	b.mu.Unlock()
	b.signal()
}

// take returns the oldest delivery; once the box is closed and empty, its cause.
// hold asks for what leaves the scope from then on, see still.
func (b *mailbox) take(ctx context.Context, hold bool) (delivery, error) {
	for {
		if p, ok, err := b.poll(hold); ok || err != nil {
			return p, err
		}
		select {
		case <-b.wake:
		case <-ctx.Done():
			return delivery{}, context.Cause(ctx)
		}
	}
}

// poll returns what take would return without waiting.
func (b *mailbox) poll(hold bool) (delivery, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held, b.gone = nil, nil
	if b.head == len(b.queue) {
		if b.closed != nil {
			b.signal() // wake whoever else waits
		}
		return delivery{}, false, b.closed
	}
	p := b.queue[b.head]
	b.queue[b.head] = delivery{}
	b.head++
	b.compact()
	if hold {
		b.held = p.changes
	}
	return p, true, nil
}

// compact gives the places of what was taken back: a box that is never empty would
// keep its history. Each delivery is moved once at most, on average. A large array that
// a burst has left is let go of. The caller holds mu.
func (b *mailbox) compact() {
	if b.head < len(b.queue)-b.head {
		return
	}
	rest := b.queue[b.head:]
	if cap(b.queue) > keptDeliveries && len(rest) <= keptDeliveries/4 {
		b.queue = append(make([]delivery, 0, keptDeliveries), rest...)
	} else {
		n := copy(b.queue, rest)
		clear(b.queue[n:])
		b.queue = b.queue[:n]
	}
	b.head = 0
}

// restrict drops what waits and is not within the scope any more. Dropping must be
// done at once, not when the rest is taken: what has left may have joined again by
// then, and goes on at its stored cursor, not behind what was dropped in between.
func (b *mailbox) restrict(within func(msg.Key) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := func(c Change) bool { return c.ofAggregate() && !within(c.Key) }
	for i := range b.queue[b.head:] {
		p := &b.queue[b.head+i]
		p.changes = slices.DeleteFunc(p.changes, left)
	}
	for i := range b.held {
		if left(b.held[i]) {
			if b.gone == nil {
				b.gone = make(map[msg.Key]struct{})
			}
			b.gone[b.held[i].Key] = struct{}{}
		}
	}
	if b.gone != nil {
		b.removals.Add(1)
	}
}

// drop takes what waits of some aggregates out, and returns the first change of each.
// The slice that the consumer is at stays.
func (b *mailbox) drop(which func(msg.Key) bool) (first []Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(map[msg.Key]struct{})
	for i := range b.queue[b.head:] {
		p := &b.queue[b.head+i]
		p.changes = slices.DeleteFunc(p.changes, func(c Change) bool {
			if !c.ofAggregate() || !which(c.Key) {
				return false
			}
			if _, again := seen[c.Key]; !again && c.Moves() {
				seen[c.Key] = struct{}{}
				first = append(first, c)
			}
			return true
		})
	}
	return first
}

// still returns those of the held changes, of which rest are left, that have not
// left the scope.
func (b *mailbox) still(rest []Change) []Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = b.remaining(rest)
	return b.held
}

// remaining is still for who holds the lock.
func (b *mailbox) remaining(rest []Change) []Change {
	return slices.DeleteFunc(rest, func(c Change) bool {
		_, gone := b.gone[c.Key]
		return gone && c.ofAggregate()
	})
}

// unget puts held changes that were not handled back in front.
func (b *mailbox) unget(rest []Change) {
	b.mu.Lock()
	b.queue = append([]delivery{{changes: b.remaining(rest)}}, b.queue[b.head:]...)
	b.head, b.held, b.gone = 0, nil, nil
	b.mu.Unlock()
	b.signal()
}

// waiting is the number of changes that wait.
func (b *mailbox) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, p := range b.queue[b.head:] {
		n += len(p.changes)
	}
	return n
}

// empty reports whether no change waits.
func (b *mailbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.queue[b.head:] {
		if len(p.changes) > 0 {
			return false
		}
	}
	return true
}

// close lets what is queued be taken and nothing follow.
func (b *mailbox) close(cause error) {
	b.mu.Lock()
	if b.closed == nil {
		b.closed = cause
	}
	b.mu.Unlock()
	b.signal()
}

// discard drops what is queued.
func (b *mailbox) discard() {
	b.mu.Lock()
	b.queue, b.head = nil, 0
	b.mu.Unlock()
}

func (b *mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
