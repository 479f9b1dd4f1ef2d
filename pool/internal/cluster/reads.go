package cluster

import (
	"context"

	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// Reads makes reads of one shard on one connection, at the node that such a read goes
// to at present, and returns an attempt for each; none when it is to be searched for.
// Reads is one try: whoever wants more of it asks again with Do. elsewhere tells that Do
// may ask another node.
func (c *Cluster) Reads(ctx context.Context, route Route, reads []*conn.PageRequest, recorder node.Recorder) (attempts []conn.Attempt, elsewhere bool) {
	m := c.readable(route)
	if m == nil {
		return nil, true
	}
	attempts = m.Reads(ctx, reads, node.Call{Shard: c.config.Shard(reads[0]), Recorder: recorder})
	last := attempts[0]
	for _, a := range attempts[1:] {
		if !last.Answered {
			break
		}
		last = a
	}
	c.evidence(ctx, m, last)
	return attempts, route.Node == "" && !c.singleNode()
}

// readable is the node that reads go to at present, as far as it needs no search and
// nothing is held against it.
func (c *Cluster) readable(route Route) *member {
	op := operation{Operation: Operation{Route: route}, cluster: c}
	var m *member
	switch {
	case route.Node != "":
		m, _ = c.at(route.Node)
	case c.singleNode():
		m = c.nodes()[0]
	case op.toFollowers():
		if order := c.followersInTurn(); len(order) > 0 {
			m = order[0]
		}
	default:
		if m = c.leaderTrusted(); m == nil && c.leadershipHidden() {
			m = c.reliableFirst(c.nodes())[0]
		}
	}
	if m == nil || m.doubtful() {
		return nil
	}
	return m
}

// Record notes attempts of reads that are no operation of their own.
func (c *Cluster) Record(a conn.Attempt) {
	if a.Connected && c.config.Events.Attempt != nil {
		c.config.Events.Attempt(a)
	}
}
