// Package notify passes signals from the commits of a store to those who wait for
// them in the same process.
package notify

import (
	"context"
	"sync"
	"time"
)

// Hub keeps who waits for which name. The zero Hub is ready for use. The Hub is
// safe for concurrent use; no call blocks.
type Hub struct {
	mu       sync.Mutex
	watchers map[string]map[chan struct{}]struct{}
}

// Watch returns a channel that holds one signal at most, until ctx ends.
func (h *Hub) Watch(ctx context.Context, name string) <-chan struct{} { return h.watch(ctx, name) }

func (h *Hub) watch(ctx context.Context, name string) chan struct{} {
	signals := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[string]map[chan struct{}]struct{})
	}
	if h.watchers[name] == nil {
		h.watchers[name] = make(map[chan struct{}]struct{})
	}
	h.watchers[name][signals] = struct{}{}
	context.AfterFunc(ctx, func() { h.remove(name, signals) })
	return signals
}

func (h *Hub) remove(name string, signals chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[name], signals)
	if len(h.watchers[name]) == 0 {
		delete(h.watchers, name)
	}
}

// Signal wakes those who watch name.
func (h *Hub) Signal(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for signals := range h.watchers[name] {
		signal(signals)
	}
}

// Watched returns the names that somebody watches.
func (h *Hub) Watched() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.watchers))
	for name := range h.watchers {
		names = append(names, name)
	}
	return names
}

// Poll is Watch with a signal every interval besides.
func (h *Hub) Poll(ctx context.Context, name string, interval time.Duration) <-chan struct{} {
	signals := h.watch(ctx, name)
	go func() {
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				signal(signals)
			}
		}
	}()
	return signals
}

func signal(signals chan struct{}) {
	select {
	case signals <- struct{}{}:
	default: // it has yet to see the last one
	}
}
