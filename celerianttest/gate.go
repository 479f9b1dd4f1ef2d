package celerianttest

import (
	"context"
	"sync"
)

// gate holds back whoever passes while it is shut.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // closed when the gate opens again; nil while open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// closed returns what to wait on, nil when the gate is open.
func (g *gate) closed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// pass waits until the gate is open; false when ctx ended first.
func (g *gate) pass(ctx context.Context) bool {
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
