package node

// A node moves a connection to the shard that a request is for, which can take
// longer than the request. So requests prefer connections whose last request
// was for the same shard. The affinity is no more than a preference: which
// shard a key belongs to is a guess, since nodes do not tell their routing
// rule, and the number of shards is known only once it was asked for. Protocol
// section 10.

// Shard is a shard's number plus one.
type Shard uint64

// anyShard is that of requests for no particular shard, and of connections that have
// not had another one.
const anyShard Shard = 0

// furthestLook bounds how many idle connections are looked at.
const furthestLook = 64

// setShard notes where the connection's next request takes it.
func (c *leased) setShard(shard Shard) {
	c.changedShard = shard != anyShard && c.shard != anyShard && c.shard != shard
	if shard != anyShard {
		c.shard = shard
	}
}

// popIdle leases the connection used last: of those of the same shard, else of
// those that are nowhere yet, else of all. The caller holds the lock.
func (n *Node) popIdle(shard Shard) *leased {
	last := len(n.idle) - 1
	if last < 0 {
		return nil
	}
	at := last
	if shard != anyShard && n.idle[last].shard != shard {
		at = n.nearest(shard)
	}
	c := n.idle[at]
	copy(n.idle[at:], n.idle[at+1:])
	n.idle[last] = nil
	n.idle = n.idle[:last]
	return c
}

// nearest returns the place of the idle connection to take. The caller holds
// the lock.
func (n *Node) nearest(shard Shard) int {
	last := len(n.idle) - 1
	best := last
	for at := last; at >= max(0, last-furthestLook); at-- {
		switch n.idle[at].shard {
		case shard:
			return at
		case anyShard:
			if n.idle[best].shard != anyShard {
				best = at
			}
		}
	}
	return best
}
