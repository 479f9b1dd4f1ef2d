package pool

import (
	"context"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// operations are the requests of the protocol and what is built of them, the
// same on a [Pool], on a [View] of it and on a [Conn].
type operations struct{ via transport }

// transport is what operations are performed on.
type transport interface {
	// do sends one request and returns the answer or an *Error.
	do(ctx context.Context, c call) (msg.Response, error)
	// reads makes reads on one connection, each sent before the one ahead of it is
	// answered, in one try. Reads that are not done are to be made one by one.
	reads(ctx context.Context, requests []*conn.PageRequest) []readResult
	// pin returns a transport on which everything goes to one node, which a
	// read may go to.
	pin(ctx context.Context) (transport, error)
	// leading returns a transport on which everything goes to the leader, if
	// it has the choice.
	leading() transport
	// node is the node's address, empty when there is a choice.
	node() string
	settings() *Options
	// shardCount is 0 until it is learnt.
	shardCount() *atomic.Uint64
}

// answer gives a response its type, which the exchange has checked.
func answer[T msg.Response](resp msg.Response, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return resp.(T), nil
}

func (p *Pool) do(ctx context.Context, c call) (msg.Response, error) {
	return p.perform(ctx, cluster.Route{}, c)
}

func (p *Pool) settings() *Options         { return &p.opts }
func (p *Pool) shardCount() *atomic.Uint64 { return &p.shards }
func (p *Pool) leading() transport         { return p.AtLeader() }

func (p *Pool) node() string {
	if nodes := p.cluster.Addresses(); len(nodes) == 1 {
		return nodes[0]
	}
	return ""
}

func (p *Pool) pin(ctx context.Context) (transport, error) {
	if p.node() != "" {
		return p, nil
	}
	return p.choose(ctx, cluster.Route{})
}

// choose binds a transport to the node that a route leads to.
func (p *Pool) choose(ctx context.Context, route cluster.Route) (transport, error) {
	if err := checkContext("choose a node", ctx); err != nil {
		return nil, err
	}
	address, failure := p.cluster.Choose(ctx, route,
		func() msg.Request { return newShardProbe() },
		func(err error) bool { _, told := shardsTold(err); return told })
	if failure != nil {
		return nil, failed("choose a node", msg.None[msg.Key](), false, failure)
	}
	return newView(p, cluster.Route{Node: address}), nil
}
