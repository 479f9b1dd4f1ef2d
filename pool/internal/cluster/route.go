package cluster

import (
	"context"
	"errors"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Route says where what changes nothing goes. The zero Route is that of the
// configuration.
type Route struct {
	Node     string // to this node only, mutations, too
	Leader   bool   // to the leader, whatever the configuration says
	Follower bool   // to a follower if there is one that can, whatever the configuration says
}

// toFollowers reports whether followers are asked first.
func (op *operation) toFollowers() bool {
	return (op.Route.Follower || op.cluster.config.Followers) && !op.Route.Leader
}

// serve performs something that changes nothing where its route leads.
func (op *operation) serve() error {
	c := op.cluster
	switch {
	case op.Route.Node != "":
		m, err := c.at(op.Route.Node)
		if err != nil {
			return err
		}
		return op.try(m).Err
	case c.singleNode():
		return op.try(c.nodes()[0]).Err
	case op.toFollowers():
		return op.atFollowers()
	}
	return op.atLeader()
}

// atLeader performs something at the leader. While there is none it waits inside the
// failover budget. Where the credentials hide who leads, the members are taken in their
// order.
func (op *operation) atLeader() error {
	c := op.cluster
	for {
		m := c.leaderTrusted()
		if m == nil {
			hidden := c.leadershipHidden()
			if !hidden {
				found, err := c.findLeader(op.ctx)
				op.learn(found)
				if err != nil {
					return err // the caller left, or the credentials are refused
				}
				m, hidden = found.leader, found.hidden
			}
			if m == nil && hidden {
				return op.inOrder(c.reliableFirst(c.nodes()), away)
			}
		}
		if m != nil {
			a := op.try(m)
			if a.Err == nil || op.ctx.Err() != nil || !away(a) {
				return a.Err // after a timeout at a node that answers otherwise: the read is slow
			}
		}
		if err := op.pause(); err != nil {
			return err
		}
	}
}

// away reports whether an attempt ended because its node does not answer at all.
func away(a conn.Attempt) bool { return unreachable(a.Err) || a.NodeSilent }

// atFollowers performs something at a follower, the next one each time, and at the
// leader when no follower can.
func (op *operation) atFollowers() error {
	c := op.cluster
	c.learnLeader(op.ctx)
	return op.inOrder(c.followersInTurn(), passable)
}

// followersInTurn are the followers, beginning with another one each time, those that
// are doubtful last, and behind them the leader.
func (c *Cluster) followersInTurn() (order []*member) {
	leader := c.leaderKnown()
	var followers []*member
	for _, m := range c.nodes() {
		if m != leader {
			followers = append(followers, m)
		}
	}
	if len(followers) > 0 {
		first := c.turn.Add(1) % uint64(len(followers))
		order = append(append(order, followers[first:]...), followers[:first]...)
	}
	order = c.reliableFirst(order)
	if leader != nil {
		order = append(order, leader)
	}
	return order
}

// inOrder tries members until one succeeds or fails in a way that must not pass.
func (op *operation) inOrder(order []*member, pass func(conn.Attempt) bool) (err error) {
	for _, m := range order {
		a := op.try(m)
		if err = a.Err; err == nil || op.ctx.Err() != nil || !pass(a) {
			return err
		}
	}
	return err
}

// Leader returns the address of the node that leads.
func (c *Cluster) Leader(ctx context.Context) (string, *Failure) {
	return c.Choose(ctx, Route{Leader: true}, nil, nil)
}

// Refusal returns the node's refusal in an error, nil when there is none.
func Refusal(err error) *msg.ServerError {
	var refusal *msg.ServerError
	errors.As(err, &refusal)
	return refusal
}
