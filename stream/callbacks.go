package stream

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// maxCallbacks bounds the calls that wait for a callback that does not return.
const maxCallbacks = 4096

// callbackQueue calls observers and writes log lines: in order, one at a time, and on
// a goroutine of its own that lives until the queue is empty. So user code that blocks,
// panics or ends its goroutine stops nothing else.
type callbackQueue struct {
	log  *slog.Logger
	done chan struct{} // closed after the last call

	mu      sync.Mutex
	queue   []func()
	dropped int
	running bool
	closed  bool // the last call is queued
	// goroutine is the one that makes the calls, by which a callback is recognised.
	goroutine uint64
}

func newCallbackQueue(log *slog.Logger) *callbackQueue {
	return &callbackQueue{log: log, done: make(chan struct{})}
}

// add queues calls and never blocks: calls beyond maxCallbacks are dropped, which
// is logged.
func (q *callbackQueue) add(calls ...func()) { q.push(false, calls) }

// addLast queues the last calls; later ones are dropped.
func (q *callbackQueue) addLast(calls ...func()) { q.push(true, calls) }

func (q *callbackQueue) push(last bool, calls []func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return
	case len(q.queue) >= maxCallbacks && !last:
		q.dropped += len(calls)
		return
	}
	q.closed = last
	q.queue = append(q.queue, calls...)
	if !q.running && (last || len(q.queue) > 0) {
		q.running = true
		go q.run()
	}
}

// run makes the queued calls. After a callback that ends its goroutine, another
// goroutine goes on.
func (q *callbackQueue) run() {
	finished := false
	defer func() {
		if !finished {
			go q.run()
		}
	}()
	for {
		f, dropped := q.next()
		if f == nil {
			finished = true
			return
		}
		if dropped > 0 {
			q.log.Warn("observers are too slow: some calls of hooks were dropped", "dropped", dropped)
		}
		q.call(f)
	}
}

// next takes the oldest call; nil when the goroutine is to end.
func (q *callbackQueue) next() (f func(), dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		q.queue, q.running, q.goroutine = nil, false, 0
		if q.closed {
			close(q.done)
		}
		return nil, 0
	}
	f, q.queue[0] = q.queue[0], nil
	q.queue = q.queue[1:]
	dropped, q.dropped = q.dropped, 0
	q.goroutine = goroutineID()
	return f, dropped
}

func (q *callbackQueue) call(f func()) {
	defer func() {
		if value := recover(); value != nil {
			q.log.Error("an observer panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// inside reports whether the calling goroutine is inside a callback of this queue.
func (q *callbackQueue) inside() bool {
	q.mu.Lock()
	at := q.goroutine
	q.mu.Unlock()
	return at != 0 && at == goroutineID()
}
