package pool

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// View is a pool with all its operations bound to one node, or to whichever
// node leads. It shares everything with its pool, costs nothing, needs no
// closing, and is safe for concurrent use.
type View struct {
	operations
	pool *Pool
	node *node // nil: the leader
}

func newView(p *Pool, n *node) *View {
	v := &View{pool: p, node: n}
	v.operations = operations{v}
	return v
}

// At returns the pool bound to the node at an address, which it comes to know
// if need be: nothing is sent to other nodes, whatever that one answers. A
// cursor of a list is only of use at the node it came from.
func (p *Pool) At(address string) (*View, error) {
	if !dialable(address) {
		return nil, &Error{Op: "choose a node", Node: address, Err: fmt.Errorf(`%w: address %q, want "host:port"`, ErrInvalid, address)}
	}
	n := p.nodeAt(address)
	if n == nil {
		err := ErrClosed
		if p.intake.Err() == nil {
			err = fmt.Errorf("%w: %d nodes are in use besides those configured", ErrConnect, mostDiscovered)
		}
		return nil, &Error{Op: "choose a node", Node: address, Err: err}
	}
	return newView(p, n), nil
}

// AtLeader returns the pool with its reads bound to the leader, for the reads
// that must be current while RouteReadsToFollowers is set.
func (p *Pool) AtLeader() *View { return newView(p, nil) }

// Node returns the address of the node the view is bound to, empty for the leader.
func (v *View) Node() string { return v.where() }

// Watch is [Pool.Watch] at this node.
func (v *View) Watch(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	j := v.journey(ctx)
	return j.watch(req)
}

func (v *View) journey(ctx context.Context) journey {
	return journey{pool: v.pool, ctx: ctx, only: v.bound(), leader: v.node == nil}
}

// bound is the node of the view, known anew when the pool has forgotten it.
func (v *View) bound() *node {
	if v.node != nil && v.node.retired.Load() {
		if again := v.pool.nodeAt(v.node.target()); again != nil {
			return again
		}
	}
	return v.node
}

func (v *View) perform(ctx context.Context, key msg.Opt[msg.Key], req msg.Request) (msg.Response, error) {
	j := v.journey(ctx)
	j.req = req
	return j.perform(key)
}

func (v *View) pin(ctx context.Context) (transport, error) {
	if v.node != nil {
		return v, nil
	}
	address, err := v.pool.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return v.pool.At(address)
}

func (v *View) leading() transport         { return v }
func (v *View) settings() *Options         { return &v.pool.opts }
func (v *View) shardCount() *atomic.Uint64 { return &v.pool.shards }

func (v *View) where() string {
	if v.node == nil {
		return ""
	}
	return v.node.opts.Address
}
