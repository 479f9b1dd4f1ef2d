package pool

import (
	"context"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// operations are the requests of the protocol and what is built of them, the
// same on a [Pool], on a [View] of it and on a [Conn].
type operations struct{ via transport }

// transport is what operations are performed on.
type transport interface {
	// perform sends one request and returns the answer or an *Error.
	perform(ctx context.Context, key msg.Opt[msg.Key], req msg.Request) (msg.Response, error)
	// pin returns a transport on which everything goes to one node, which a
	// read may go to.
	pin(ctx context.Context) (transport, error)
	// leading returns a transport on which everything goes to the leader, if
	// it has the choice.
	leading() transport
	// where is the node's address, empty when there is a choice.
	where() string
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

func (p *Pool) settings() *Options         { return &p.opts }
func (p *Pool) shardCount() *atomic.Uint64 { return &p.shards }
func (p *Pool) leading() transport         { return p.AtLeader() }

func (p *Pool) where() string {
	if p.lone() {
		return p.opts.Address
	}
	return ""
}

// pin chooses a node as for reads. A follower has to answer first; a leader
// has proved itself.
func (p *Pool) pin(ctx context.Context) (transport, error) {
	if p.lone() {
		return p, nil
	}
	j := p.journey(ctx, nil)
	var chosen *node
	err := j.serve(func(n *node) (sent bool, err error) {
		if p.opts.RouteReadsToFollowers {
			var resp msg.Response
			resp, sent, err = n.do(ctx, newShardProbe())
			if _, counted := shardsTold(resp, err); !counted && err != nil {
				return sent, err
			}
		}
		chosen = n
		return sent, nil
	})
	if err != nil {
		return nil, j.failure("choose a node", msg.None[msg.Key](), false, err)
	}
	return newView(p, chosen), nil
}
