package stream

import (
	"runtime/debug"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Hooks are told what a subscription does, for metrics and traces. Each is nil if
// unused, which costs nothing. Hooks are called without a lock held, those about states, retries,
// voids, partitions, take-overs and reconciles in order and one at a time, the others from several
// goroutines at once. A hook may call the subscription but must not block. A panic in one is
// logged and ends nothing.
type Hooks struct {
	// State is called with each new state, as Options.OnState.
	State func(State)
	// Retrying is called with each failure that is tried again, Recovered once it
	// has ended, with the last failure.
	Retrying, Recovered func(Retrying)
	// Read is called after each read of a page of one aggregate.
	Read func(ReadDone)
	// List is called after each page of a list.
	List func(ListDone)
	// Reconciled is called when a shard's list was read to its end.
	Reconciled func(ReconcileDone)
	// Commit is called after each attempt to store cursors.
	Commit func(CommitDone)
	// Committed is called with the cursors that are stored, whoever stored them: the
	// subscription, or a projection with its effects. The slice is used again: it must
	// not be kept or changed.
	Committed func([]checkpoint.Entry)
	// Void is called with each Deleted, Reset, Truncated and Unreadable as it is put
	// into the buffer, without its batch.
	Void func(Change)
	// Reconnect is called when a watch was lost, or could not be opened.
	Reconnect func(WatchLost)
	// Partition is called with each Gained and Lost.
	Partition func(Change)
	// TakenOver is called when the subscription is live with partitions that it has gained.
	TakenOver func(TakeOver)
	// Rebuild is called when the state of a rebuild has changed.
	Rebuild func(Rebuild)
}

// And returns hooks that call those of h, then those of next. A hook that only one of
// them has is that one's.
func (h Hooks) And(next Hooks) Hooks {
	return Hooks{
		State:      both(h.State, next.State),
		Retrying:   both(h.Retrying, next.Retrying),
		Recovered:  both(h.Recovered, next.Recovered),
		Read:       both(h.Read, next.Read),
		List:       both(h.List, next.List),
		Reconciled: both(h.Reconciled, next.Reconciled),
		Commit:     both(h.Commit, next.Commit),
		Committed:  both(h.Committed, next.Committed),
		Void:       both(h.Void, next.Void),
		Reconnect:  both(h.Reconnect, next.Reconnect),
		Partition:  both(h.Partition, next.Partition),
		TakenOver:  both(h.TakenOver, next.TakenOver),
		Rebuild:    both(h.Rebuild, next.Rebuild),
	}
}

func both[T any](first, next func(T)) func(T) {
	switch {
	case first == nil:
		return next
	case next == nil:
		return first
	}
	return func(v T) {
		first(v)
		next(v)
	}
}

// ReadDone is one answered or failed read.
type ReadDone struct {
	Key  msg.Key
	Node string // empty when no leader was found
	// From and To are the versions asked for; To is 0 for no bound.
	From, To uint64
	// Batches and Bytes are the answer's, Bytes of payload.
	Batches  int
	Bytes    int64
	Duration time.Duration
	Err      error
}

// ListDone is one answered or failed page of a list.
type ListDone struct {
	Shard    uint64
	Node     string
	Entries  int
	Last     bool // no page follows
	Duration time.Duration
	Err      error
}

// CommitDone is one attempt to store cursors.
type CommitDone struct {
	// Store is the Go type of the store, without a pointer, such as "sqlstore.Store".
	Store    string
	Entries  int
	Duration time.Duration
	Err      error
}

// WatchLost is the end of one watch connection that was not planned.
type WatchLost struct {
	Shard uint64
	Node  string // empty when it was never open
	Cause error
}

// callers are the goroutines inside a hook that requests call.
type callers struct {
	mu     sync.Mutex
	inHook map[uint64]struct{}
}

func (c *callers) enter(goroutine uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inHook == nil {
		c.inHook = make(map[uint64]struct{})
	}
	c.inHook[goroutine] = struct{}{}
}

func (c *callers) leave(goroutine uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.inHook, goroutine)
}

// inside reports whether the calling goroutine is one of them.
func (c *callers) inside() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inHook) == 0 {
		return false
	}
	_, in := c.inHook[goroutineID()]
	return in
}

// observe calls a hook that tells of something done. A panic in it is logged.
func observe[T any](s *Subscription, hook func(T), done T) {
	me := goroutineID()
	s.calling.enter(me)
	defer func() {
		s.calling.leave(me)
		if value := recover(); value != nil {
			s.logger.Error("a hook panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	hook(done)
}

func (s *Subscription) listed(shard uint64, node string, page *msg.ListAggregatesResponse, began time.Time, err error) {
	hook := s.opts.Hooks.List
	if hook == nil {
		return
	}
	done := ListDone{Shard: shard, Node: node, Duration: time.Since(began), Err: err}
	if err == nil {
		done.Entries, done.Last = len(page.Aggregates), !page.NextCursor.Set
	}
	observe(s, hook, done)
}

func (s *Subscription) pageRead(r *reading, err error) {
	f := &r.req.Filters
	done := ReadDone{Key: r.req.Key, Node: r.node, From: f.From, To: f.To.Value, Duration: time.Since(r.began), Err: err}
	if err == nil {
		done.Batches = len(r.page.Batches)
		for i := range r.page.Batches {
			done.Bytes += payload(&r.page.Batches[i])
		}
	}
	observe(s, s.opts.Hooks.Read, done)
}

// disconnected has the loss of a watch told.
func (s *Subscription) disconnected(w *watching, cause error) {
	hook := s.opts.Hooks.Reconnect
	if hook == nil {
		return
	}
	lost := WatchLost{Shard: w.attempt.link.Shard, Cause: cause}
	if w.watch != nil {
		lost.Node = w.watch.Node()
	}
	s.callbacks.add(func() { hook(lost) })
}

func payload(b *msg.Batch) (bytes int64) {
	for i := range b.Events {
		bytes += int64(len(b.Events[i].Value))
	}
	return bytes
}

// delivered has the voids and the partitions among changes told.
func (s *Subscription) delivered(changes []Change) {
	for i := range changes {
		switch changes[i].Kind {
		case Deleted, Reset, Truncated, Unreadable:
			s.voided(changes[i])
		case Gained, Lost:
			if hook := s.opts.Hooks.Partition; hook != nil {
				c := changes[i]
				s.callbacks.add(func() { hook(c) })
			}
		}
	}
}

// voided has a void told. A batch that cannot be read has a line in the log, because its
// aggregate rests from then on.
func (s *Subscription) voided(c Change) {
	if c.Kind == Unreadable {
		s.logger.Warn("a batch cannot be read: its aggregate rests until it can be, or is trimmed away", "aggregate", c.Key, "version", c.Version)
	}
	if hook := s.opts.Hooks.Void; hook != nil {
		s.callbacks.add(func() { hook(c) })
	}
}
