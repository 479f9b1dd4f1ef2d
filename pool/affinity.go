package pool

import "github.com/celeriant/celeriant-go/msg"

// A node moves a connection to the shard that a request is for, which can take
// longer than the request. So requests prefer connections whose last request
// was for the same shard. It is no more than a preference: which shard a key
// belongs to is a guess, since nodes do not tell their routing rule, and the
// number of shards is known only once it was asked for. Protocol section 10.

// home is a shard's number plus one.
type home uint64

// anyShard is the home of requests for no particular shard, and of connections
// that have not had another one.
const anyShard home = 0

// furthestLook bounds how many idle connections are looked at.
const furthestLook = 64

// homeOf guesses the shard of a request, by the rule that is the default.
func (p *Pool) homeOf(req msg.Request) home {
	shards := p.shards.Load()
	if shards < 2 {
		return anyShard
	}
	var key *msg.Key
	switch r := req.(type) {
	case *msg.ReadRequest:
		key = &r.Key
	case *pageRequest:
		key = &r.Key
	case *msg.DetailsRequest:
		key = &r.Key
	case *msg.TrimStartRequest:
		key = &r.Key
	case *msg.WriteRequest:
		if len(r.Writes) > 0 {
			key = &r.Writes[0].Key
		}
	case *msg.DeleteRequest:
		if len(r.Deletes) > 0 {
			key = &r.Deletes[0].Key
		}
	case *msg.ListOrgsRequest:
		return listed(r.Shard, shards)
	case *msg.ListTypesRequest:
		return listed(r.Shard, shards)
	case *msg.ListAggregatesRequest:
		return listed(r.Shard, shards)
	}
	if key == nil {
		return anyShard
	}
	return home(key.Aggregate.Mod(shards) + 1)
}

// listed is the home of a list, which names its shard.
func listed(shard, shards uint64) home {
	if shard >= shards {
		return anyShard // refused wherever it is
	}
	return home(shard + 1)
}

// goTo notes where the connection's next request takes it.
func (c *conn) goTo(home home) {
	c.moved = home != anyShard && c.home != anyShard && c.home != home
	if home != anyShard {
		c.home = home
	}
}

// popIdle leases the connection used last: of those that are at home, else of
// those that are nowhere yet, else of all. The caller holds the lock.
func (n *node) popIdle(home home) *conn {
	last := len(n.idle) - 1
	if last < 0 {
		return nil
	}
	at := last
	if home != anyShard && n.idle[last].home != home {
		at = n.nearest(home)
	}
	c := n.idle[at]
	copy(n.idle[at:], n.idle[at+1:])
	n.idle[last] = nil
	n.idle = n.idle[:last]
	return c
}

// nearest returns the place of the idle connection to take. The caller holds
// the lock.
func (n *node) nearest(home home) int {
	last := len(n.idle) - 1
	best := last
	for at := last; at >= max(0, last-furthestLook); at-- {
		switch n.idle[at].home {
		case home:
			return at
		case anyShard:
			if n.idle[best].home != anyShard {
				best = at
			}
		}
	}
	return best
}
