package node

import (
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Close refuses new work: idle connections and watches end, callers in line are sent
// away, openings are called off. Requests in flight go on.
func (n *Node) Close() {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return
	}
	n.closed = true
	refusal := n.refusal()
	for n.line.grant(grant{err: refusal}) {
	}
	idle := n.idle
	n.idle = nil
	n.slots -= len(idle)
	for _, c := range idle {
		delete(n.open, c)
	}
	watches := make([]*conn.Watch, 0, len(n.watches))
	for w := range n.watches {
		watches = append(watches, w)
	}
	if n.reaper != nil {
		n.reaper.Stop()
	}
	n.drainedIfIdle()
	n.mu.Unlock()
	n.cancel()
	n.closeAll(idle)
	for _, w := range watches {
		w.End(conn.ErrClosed)
	}
}

// Drained is closed when the node is closed and nothing of it goes on, but for user code.
func (n *Node) Drained() <-chan struct{} { return n.drained }

// Abort closes the connections in use, whose users will see conn.ErrClosed; it returns how
// many there were.
func (n *Node) Abort() int {
	n.mu.Lock()
	n.cut = true
	inUse := make([]*leased, 0, len(n.open))
	for c := range n.open {
		inUse = append(inUse, c)
	}
	n.mu.Unlock()
	for _, c := range inUse {
		c.Kill(conn.ErrClosed)
	}
	return len(inUse)
}

// Retire closes a node that nobody uses while the pool goes on; false when somebody does.
func (n *Node) Retire() bool {
	n.mu.Lock()
	busy := n.pending > 0 || n.line.length > 0
	if !busy {
		n.retired.Store(true)
	}
	n.mu.Unlock()
	if !busy {
		n.Close()
	}
	return !busy
}

// Retired reports whether the node was closed alone.
func (n *Node) Retired() bool { return n.retired.Load() }
