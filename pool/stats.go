package pool

import "sync/atomic"

// Stats is a snapshot of a pool, for metrics and a status page. Counters count since New.
type Stats struct {
	Requests uint64      // operations begun, watches included
	Failures uint64      // operations that returned an error
	Leader   string      // the node last confirmed to lead; empty for none
	Nodes    []NodeStats // the configured ones first, in their order
}

// NodeStats is a snapshot of the connections to one node.
type NodeStats struct {
	Address string
	// Configured: it is one of Options.Address and SeedAddresses. Others were named
	// by nodes as leaders, or were asked for with At or Leads.
	Configured bool
	// Guest: it is no member of the cluster, and was only asked for.
	Guest bool
	// Leadership is what is known without asking: Unknown unless some node has
	// proved to lead within the last five seconds.
	Leadership Leadership
	// Silent: the last request was left unanswered.
	Silent bool

	Open    int // connections for requests, idle ones included
	Idle    int // of these, not in use
	Slots   int // of MaxConnections, taken: open or being opened
	Waiting int // callers in line for a connection
	Watches int // acknowledged watches

	Breaker     BreakerState
	LastFailure error // of the last attempt to open a connection; nil when it succeeded

	Waits        uint64 // times a caller had to wait because all connections were in use
	Retries      uint64 // requests sent once more on a new connection
	Dials        uint64 // attempts to connect
	DialFailures uint64 // of these, failed for no reason of the caller's
	Discarded    uint64 // connections closed: broken, idle for too long, or closed by the node
}

type poolCounters struct {
	requests, failures atomic.Uint64
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	s := Stats{
		Requests: p.stats.requests.Load(),
		Failures: p.stats.failures.Load(),
		Leader:   p.cluster.LeaderKnown(),
	}
	for _, m := range p.cluster.Stats() {
		s.Nodes = append(s.Nodes, NodeStats{
			Address: m.Address, Configured: m.Configured, Guest: m.Guest, Leadership: Leadership(m.Leadership), Silent: m.Silent,
			Open: m.Open, Idle: m.Idle, Slots: m.Slots, Waiting: m.Waiting, Watches: m.Watches,
			Breaker: BreakerState(m.Breaker), LastFailure: m.LastFailure,
			Waits: m.Waits, Retries: m.Retries, Dials: m.Dials, DialFailures: m.DialFailures, Discarded: m.Discarded,
		})
	}
	return s
}

// Nodes returns the addresses of the members of the cluster: the configured ones first, then
// those that members have named as leaders.
func (p *Pool) Nodes() []string { return p.cluster.Addresses() }
