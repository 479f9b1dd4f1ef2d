package celerianttest

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
		Lag: p.lag.Seconds() * 1000, Frozen: p.frozen, Held: p.held, Cut: p.cluster.cut, Hint: p.cluster.hint,
	}
	if p.cluster.accepts(p.cluster.leader) {
		s.Leader = nodeName(p.cluster.leader)
	}
	for i := range p.nodes {
		n := NodeState{Name: nodeName(i), Address: p.cluster.members[i].addr, State: p.cluster.describe(i)}
		for _, r := range p.nodes[i].replicas {
			r.mu.Lock()
			n.Shown += r.shard.Shown()
			n.Stored += r.shard.Tail()
			r.mu.Unlock()
		}
		s.Nodes = append(s.Nodes, n)
	}
	return s
}
