package stream

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// maxUntold bounds what waits for a callback that does not return.
const maxUntold = 4096

// teller tells observers and the log what happened: in order, one at a time, and on
// a goroutine of its own that lives as long as something is to be told. So user code
// that blocks, panics or ends its goroutine stops nothing else.
type teller struct {
	log  *slog.Logger
	done chan struct{} // closed when the last thing was told

	mu      sync.Mutex
	queue   []func()
	dropped int
	running bool
	sealed  bool // the last one is queued
	// at is the goroutine that calls, so that a callback is recognised.
	at uint64
}

func newTeller(log *slog.Logger) *teller { return &teller{log: log, done: make(chan struct{})} }

// later has calls made once those before were. It never blocks. Too many are
// dropped, which is logged.
func (t *teller) later(calls ...func()) { t.add(false, calls) }

// last has the last calls made; nothing is taken after them.
func (t *teller) last(calls ...func()) { t.add(true, calls) }

func (t *teller) add(last bool, calls []func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.sealed:
		return
	case len(t.queue) >= maxUntold && !last:
		t.dropped += len(calls)
		return
	}
	t.sealed = last
	t.queue = append(t.queue, calls...)
	if !t.running && (last || len(t.queue) > 0) {
		t.running = true
		go t.run()
	}
}

// run tells what is queued. A callback that ends its goroutine has another one go on.
func (t *teller) run() {
	finished := false
	defer func() {
		if !finished {
			go t.run()
		}
	}()
	for {
		f, dropped := t.next()
		if f == nil {
			finished = true
			return
		}
		if dropped > 0 {
			t.log.Warn("observers are too slow, some of what happened was not told", "dropped", dropped)
		}
		t.call(f)
	}
}

// next takes the oldest; nil when the goroutine is to end.
func (t *teller) next() (f func(), dropped int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.queue, t.running, t.at = nil, false, 0
		if t.sealed {
			close(t.done)
		}
		return nil, 0
	}
	f, t.queue[0] = t.queue[0], nil
	t.queue = t.queue[1:]
	dropped, t.dropped = t.dropped, 0
	t.at = goroutineID()
	return f, dropped
}

func (t *teller) call(f func()) {
	defer func() {
		if value := recover(); value != nil {
			t.log.Error("an observer panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// calls reports whether the calling goroutine is inside a callback of this teller.
func (t *teller) calls() bool {
	t.mu.Lock()
	at := t.at
	t.mu.Unlock()
	return at != 0 && at == goroutineID()
}
