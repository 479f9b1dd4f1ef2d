package celerianttest

import "github.com/celeriant/celeriant-go/celerianttest/internal/cluster"

// PairState describes a pair at one instant.
type PairState struct {
	// Leader is "A" or "B", empty while no node accepts changes.
	Leader string      `json:"leader"`
	Nodes  []NodeState `json:"nodes"`
	// Lag is in milliseconds.
	Lag    float64 `json:"lag_ms"`
	Frozen bool    `json:"frozen"`
	Held   bool    `json:"held"`
	Cut    bool    `json:"cut"`
	Hint   Hint    `json:"hint"`
}

// NodeState describes a node of a pair.
type NodeState struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// State is "leader", "follower", "waiting" (up, with no part yet), "paused" or "down".
	State string `json:"state"`
	// Shown counts the changes that reads on this node can see, over all shards;
	// Stored also those it merely holds.
	Shown  uint64 `json:"shown"`
	Stored uint64 `json:"stored"`
}

// State describes the pair.
func (p *Pair) State() PairState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PairState{
		Lag: p.lag.Seconds() * 1000, Frozen: p.frozen, Held: p.held, Cut: p.cluster.Cut, Hint: Hint(p.cluster.Hint),
	}
	if p.cluster.Accepts(p.cluster.Leader) {
		s.Leader = cluster.NodeName(p.cluster.Leader)
	}
	for i := range p.nodes {
		n := NodeState{Name: cluster.NodeName(i), Address: p.cluster.Members[i].Addr, State: p.cluster.Describe(i)}
		for _, r := range p.nodes[i].server.Replicas {
			r.Mu.Lock()
			n.Shown += r.Shard.Shown()
			n.Stored += r.Shard.Tail()
			r.Mu.Unlock()
		}
		s.Nodes = append(s.Nodes, n)
	}
	return s
}
