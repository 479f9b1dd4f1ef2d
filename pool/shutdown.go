package pool

// close refuses new work: idle connections and watches end, callers in line
// are sent away. What is in flight goes on.
func (n *node) close() {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return
	}
	n.closed = true
	for n.line.grant(grant{err: ErrClosed}) {
	}
	idle := n.idle
	n.idle = nil
	n.slots -= len(idle)
	for _, c := range idle {
		delete(n.open, c)
	}
	watches := make([]*Watch, 0, len(n.watches))
	for w := range n.watches {
		watches = append(watches, w)
	}
	if n.reaper != nil {
		n.reaper.Stop()
	}
	n.settle()
	n.mu.Unlock()
	for _, c := range idle {
		c.nc.Close()
	}
	for _, w := range watches {
		w.end(ErrClosed)
	}
}

// abort closes the connections in flight, whose users will see ErrClosed, and
// refuses those still being dialled; it returns how many there were.
func (n *node) abort() int {
	n.mu.Lock()
	n.cut = true
	inFlight := make([]*conn, 0, len(n.open))
	for c := range n.open {
		inFlight = append(inFlight, c)
	}
	count := n.slots
	n.mu.Unlock()
	for _, c := range inFlight {
		c.kill(ErrClosed)
	}
	return count
}

// settle notices that a closed node has nothing left. The counts only fall once
// the node is closed, so it happens once. The caller holds the lock.
func (n *node) settle() {
	if n.closed && n.slots == 0 && n.opening == 0 && len(n.watches) == 0 {
		n.pool.nodeDrained()
	}
}
