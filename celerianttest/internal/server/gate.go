package server

import (
	"context"
	"sync"
)

// Gate holds back whoever passes while it is shut.
type Gate struct {
	mu   sync.Mutex
	shut chan struct{} // closed when the gate opens again; nil while open
}

// Close shuts the gate. Shutting it again does nothing.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

// Open lets pass who waits, and everybody after.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// closed returns what to wait on, nil when the gate is open.
func (g *Gate) closed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// pass waits until the gate is open; false when ctx ended first.
func (g *Gate) pass(ctx context.Context) bool {
	for {
		shut := g.closed()
		if shut == nil {
			return true
		}
		select {
		case <-shut:
		case <-ctx.Done():
			return false
		}
	}
}
