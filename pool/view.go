package pool

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
)

// View is a pool with all its operations bound to one node, or to whichever
// node leads. A View shares everything with its pool, costs nothing, needs no
// closing, and is safe for concurrent use.
type View struct {
	operations
	pool  *Pool
	route cluster.Route
}

func newView(p *Pool, route cluster.Route) *View {
	v := &View{pool: p, route: route}
	v.operations = operations{v}
	return v
}

// At returns the pool bound to the node at an address: nothing is sent to other nodes,
// whatever that one answers. A node that is not known does not become a member of the
// cluster by it: nothing else is sent there. With an Identity it must be a node
// that credentials may go to (ErrUntrusted, see [Options.Trust]). A cursor of a list is
// only of use at the node it came from.
func (p *Pool) At(address string) (*View, error) {
	address, err := p.askable(address)
	if err != nil {
		return nil, &Error{Op: "choose a node", Node: address, Err: err}
	}
	return newView(p, cluster.Route{Node: address}), nil
}

// askable checks an address that a caller names.
func (p *Pool) askable(address string) (string, error) {
	address, problem := cleanAddress(address)
	switch {
	case problem != "":
		return address, fmt.Errorf("%w: address %q %s", ErrInvalid, address, problem)
	case p.cluster.Member(address) || p.opts.trusted(address):
		return address, nil
	}
	return address, fmt.Errorf("%w: %q is not configured, and Options.Trust does not name it", ErrUntrusted, address)
}

// AtLeader returns the pool with its reads bound to the leader, for the reads
// that must be current while RouteReadsToFollowers is set.
func (p *Pool) AtLeader() *View { return newView(p, cluster.Route{Leader: true}) }

// Node returns the address of the node the view is bound to, empty for the leader.
func (v *View) Node() string { return v.route.Node }

// Watch is [Pool.Watch] at this node.
func (v *View) Watch(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	return v.pool.watch(ctx, v.route, req)
}

func (v *View) do(ctx context.Context, c call) (msg.Response, error) {
	return v.pool.perform(ctx, v.route, c)
}

func (v *View) pin(ctx context.Context) (transport, error) {
	if v.route.Node != "" {
		return v, nil
	}
	return v.pool.choose(ctx, v.route)
}

func (v *View) leading() transport         { return v }
func (v *View) settings() *Options         { return &v.pool.opts }
func (v *View) shardCount() *atomic.Uint64 { return &v.pool.shards }
func (v *View) node() string               { return v.route.Node }
