package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	// commitChanges and commitInterval bound what views handle before they store
	// cursors.
	commitChanges  = 512
	commitInterval = time.Second
	// lastCommit bounds the storing of cursors after the consumer stopped.
	lastCommit = 5 * time.Second
)

// ErrLastCommit: what was handled could not be stored within 5 s of the end of the
// subscription, or of its loop, and comes again when it is resumed.
var ErrLastCommit = fmt.Errorf("stream: the last cursors could not be stored within %v", lastCommit)

// tally collects what was handled until its cursors are stored: by the loop when
// there are enough, or by a timer while a handler works.
type tally struct {
	s   *Subscription
	ctx context.Context // of saves

	// storing has room for the one that stores cursors, so that an older save never
	// comes behind a newer one; it guards entries, which are used again, failed and left.
	storing chan struct{}
	entries []checkpoint.Entry
	// failed is why so many changes could not be stored in the time that there is after
	// the end; nil before.
	failed error
	left   int

	mu      sync.Mutex
	handled []checkpoint.Entry
	since   time.Time // when the oldest of them was handled
	timer   *time.Timer
	armed   bool
	over    bool
}

// add notes that a change was handled, and reports whether enough waits to be stored.
func (t *tally) add(c *Change) (full bool) {
	if !c.Moves() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.handled) == 0 {
		t.since = time.Now()
		t.arm(commitInterval)
	}
	t.handled = append(t.handled, checkpoint.Entry{Key: c.Key, Cursor: c.Cursor})
	return len(t.handled) >= commitChanges
}

// arm sets the timer, unless it is set: it is left alone when the loop has stored, and
// looks at what is due when it fires. The caller holds mu.
func (t *tally) arm(after time.Duration) {
	switch {
	case t.armed || t.over:
		return
	case t.timer == nil:
		t.timer = time.AfterFunc(after, t.fire)
	default:
		t.timer.Reset(after)
	}
	t.armed = true
}

// fire stores what has waited for the interval.
func (t *tally) fire() {
	t.mu.Lock()
	t.armed = false
	waited := time.Since(t.since)
	switch {
	case t.over || len(t.handled) == 0:
		t.mu.Unlock()
		return
	case waited < commitInterval:
		t.arm(commitInterval - waited)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	// A refusal for good ends the subscription, which the loop notices. A panic of the
	// store is its own failure.
	defer func() {
		if value := recover(); value != nil {
			t.s.failing(WhatStore, saving{}, &PanicError{Value: value}, time.Time{})
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.handled) > 0 {
			t.arm(commitInterval)
		}
	}()
	_ = t.store()
}

func (t *tally) waits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.handled) > 0
}

// store stores what was handled so far. After the end of the subscription it takes
// its time anew.
func (t *tally) store() error {
	if t.s.ctx.Err() == nil {
		return t.storeIn(t.ctx)
	}
	return t.storeLast()
}

func (t *tally) storeIn(ctx context.Context) error {
	t.storing <- struct{}{} // whoever stores now ends with the subscription
	defer func() { <-t.storing }()
	t.mu.Lock()
	n := len(t.handled)
	t.entries = latest(t.entries[:0], t.handled)
	t.mu.Unlock()
	switch {
	case n == 0:
		return nil
	case t.failed != nil && n == t.left:
		return t.failed
	}
	err := t.s.commit(ctx, t.entries)
	if err != nil && !settled(err) {
		if errors.Is(err, ErrLastCommit) {
			t.failed, t.left = err, n
		}
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handled = append(t.handled[:0], t.handled[n:]...)
	t.since = time.Now()
	return nil
}

// last stores what is left after the loop has stopped, and waits for a save that the
// timer has begun. Entries that it could not store are not tried again. Only the loop
// calls last.
func (t *tally) last() error {
	t.mu.Lock()
	t.over = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
	return t.storeLast()
}

// storeLast stores within the time that there is after the end.
func (t *tally) storeLast() error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(t.ctx), lastCommit, ErrLastCommit)
	defer cancel()
	return t.storeIn(ctx)
}

// latest appends the last entry of each aggregate, in the order of first appearance.
func latest(out, entries []checkpoint.Entry) []checkpoint.Entry {
	if len(entries) == 1 {
		return append(out, entries[0])
	}
	at := make(map[msg.Key]int, len(entries))
	for _, e := range entries {
		if n, ok := at[e.Key]; ok {
			out[n].Cursor = e.Cursor
			continue
		}
		at[e.Key] = len(out)
		out = append(out, e)
	}
	return out
}
