package stream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// mailbox hands slices of changes from the engine to the consumer. It needs no
// bound of its own: the engine reads nothing ahead of Options.Buffer.
type mailbox struct {
	mu     sync.Mutex
	queue  []parcel
	head   int
	closed error
	// within tells, after the scope has changed, what may still be taken of what
	// was put before; scopes counts the changes.
	within func(msg.Key) bool
	scopes atomic.Uint64
	// wake holds a token when something was put or the box was closed.
	wake chan struct{}
}

type parcel struct {
	changes []Change
	bytes   int64
	scope   uint64 // how often the scope had changed
}

func (b *mailbox) init() { b.wake = make(chan struct{}, 1) }

// put never blocks.
func (b *mailbox) put(changes []Change, bytes int64) {
	b.mu.Lock()
	if b.closed == nil {
		b.queue = append(b.queue, parcel{changes, bytes, b.scopes.Load()})
	}
	b.mu.Unlock()
	b.signal()
}

// take returns the oldest parcel; once the box is closed and empty, its cause.
func (b *mailbox) take(ctx context.Context) (parcel, error) {
	for {
		if p, ok, err := b.poll(); ok || err != nil {
			return p, err
		}
		select {
		case <-b.wake:
		case <-ctx.Done():
			return parcel{}, context.Cause(ctx)
		}
	}
}

// poll returns what take would return without waiting.
func (b *mailbox) poll() (parcel, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.queue) {
		if b.closed != nil {
			b.signal() // wake whoever else waits
		}
		return parcel{}, false, b.closed
	}
	p := b.queue[b.head]
	b.queue[b.head] = parcel{}
	b.head++
	if b.head == len(b.queue) {
		b.queue, b.head = b.queue[:0], 0
	}
	if p.scope != b.scopes.Load() {
		p.changes = b.allowed(p.changes)
	}
	return p, true, nil
}

// allowed drops what is not within the scope any more. The caller holds the lock.
func (b *mailbox) allowed(changes []Change) []Change {
	if b.within == nil {
		return changes
	}
	return slices.DeleteFunc(changes, func(c Change) bool { return c.Kind != CaughtUp && !b.within(c.Key) })
}

// still is allowed for whoever holds no lock.
func (b *mailbox) still(changes []Change) []Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.allowed(changes)
}

// restrict lets nothing be taken any more of what is not within the scope.
func (b *mailbox) restrict(within func(msg.Key) bool) {
	b.mu.Lock()
	b.within = within
	b.scopes.Add(1)
	b.mu.Unlock()
}

// unget puts changes that were taken and not handled back in front.
func (b *mailbox) unget(changes []Change) {
	b.mu.Lock()
	b.queue = append([]parcel{{changes: changes, scope: ^uint64(0)}}, b.queue[b.head:]...)
	b.head = 0
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

// empty reports whether nothing waits.
func (b *mailbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head == len(b.queue)
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
