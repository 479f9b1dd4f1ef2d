package notify_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/internal/notify"
)

func signalled(signals <-chan struct{}) bool {
	select {
	case <-signals:
		return true
	default:
		return false
	}
}

// Signals reach everybody who watches the name and nobody else, and wait as one.
func TestSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h notify.Hub
		h.Signal("orders") // nobody waits
		one, two, other := h.Watch(t.Context(), "orders"), h.Watch(t.Context(), "orders"), h.Watch(t.Context(), "")
		if signalled(one) {
			t.Error("a signal of before the watch")
		}
		h.Signal("orders")
		h.Signal("orders")
		for _, s := range []<-chan struct{}{one, two} {
			if !signalled(s) || signalled(s) {
				t.Error("two signals do not wait as one")
			}
		}
		if signalled(other) {
			t.Error("a signal of another name")
		}
		names := h.Watched()
		if slices.Sort(names); !slices.Equal(names, []string{"", "orders"}) {
			t.Errorf("watched are %q", names)
		}
	})
}

// A watch ends with its context, its neighbours go on, and nothing is left of the last.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h notify.Hub
		first, end := context.WithCancel(t.Context())
		second, endSecond := context.WithCancel(t.Context())
		gone, stays := h.Watch(first, "orders"), h.Watch(second, "orders")
		end()
		synctest.Wait()
		h.Signal("orders")
		if signalled(gone) || !signalled(stays) {
			t.Error("the wrong watch ended")
		}
		endSecond()
		synctest.Wait()
		if names := h.Watched(); len(names) != 0 {
			t.Errorf("still watched are %q", names)
		}
	})
}

// Poll signals every interval besides, until its context ends.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h notify.Hub
		ctx, end := context.WithCancel(t.Context())
		signals := h.Poll(ctx, "orders", time.Second)
		time.Sleep(999 * time.Millisecond)
		if signalled(signals) {
			t.Error("a signal before the interval")
		}
		for range 3 {
			time.Sleep(time.Second)
			if !signalled(signals) {
				t.Error("no signal after an interval")
			}
		}
		h.Signal("orders")
		if !signalled(signals) {
			t.Error("a commit gives no signal")
		}
		end()
		time.Sleep(10 * time.Second)
		if signalled(signals) {
			t.Error("a signal after the end")
		}
	})
}

// Watches come and go while commits signal.
func TestConcurrentWatches(t *testing.T) {
	var h notify.Hub
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				ctx, end := context.WithCancel(t.Context())
				signals := h.Watch(ctx, "orders")
				h.Signal("orders")
				<-signals
				end()
			}
		})
	}
	all.Wait()
	for len(h.Watched()) > 0 { // ends are heard in goroutines
		time.Sleep(time.Millisecond)
	}
}
