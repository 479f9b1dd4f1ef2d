package pool

import "sync/atomic"

// Stats is a snapshot of a pool. Counters count since New.
type Stats struct {
	Requests uint64      // operations begun, watches included
	Failures uint64      // operations that returned an error
	Nodes    []NodeStats // the configured ones first, in their order
}

// NodeStats is a snapshot of the connections to one node.
type NodeStats struct {
	Address string

	Open    int // connections for requests, idle ones included
	Idle    int // of these, not in use
	Slots   int // of MaxConnections, taken: open or being opened
	Waiting int // callers in line for a connection
	Watches int // acknowledged watches

	Waits        uint64 // times a caller had to wait in line
	Retries      uint64 // requests sent once more on a new connection
	Dials        uint64 // attempts to connect
	DialFailures uint64 // of these, failed for no reason of the caller's
	Discarded    uint64 // connections closed: broken, idle for too long, or closed by the node
}

type poolCounters struct {
	requests, failures atomic.Uint64
}

type nodeCounters struct {
	waits, retries, dials, dialFailures, discarded atomic.Uint64
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	s := Stats{
		Requests: p.stats.requests.Load(),
		Failures: p.stats.failures.Load(),
	}
	for _, n := range p.nodes() {
		s.Nodes = append(s.Nodes, n.snapshot())
	}
	return s
}

func (n *node) snapshot() NodeStats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return NodeStats{
		Address:      n.opts.Address,
		Open:         len(n.open),
		Idle:         len(n.idle),
		Slots:        n.slots,
		Waiting:      n.line.length,
		Watches:      len(n.watches),
		Waits:        n.stats.waits.Load(),
		Retries:      n.stats.retries.Load(),
		Dials:        n.stats.dials.Load(),
		DialFailures: n.stats.dialFailures.Load(),
		Discarded:    n.stats.discarded.Load(),
	}
}
