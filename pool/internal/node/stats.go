package node

import "sync/atomic"

type counters struct {
	waits, retries, dials, dialFailures, discarded atomic.Uint64
}

// Stats is a snapshot of a node's connections; its fields are those of the pool's.
type Stats struct {
	Address string

	Open, Idle, Slots, Waiting, Watches int

	Waits, Retries, Dials, DialFailures, Discarded uint64

	Breaker     BreakerState
	Failures    int
	LastFailure error
}

// Stats returns a snapshot.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Stats{
		Address:      n.Address(),
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
	s.Breaker, s.Failures, s.LastFailure = n.breaker.state()
	return s
}
