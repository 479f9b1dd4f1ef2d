package pool

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// Pool performs requests on a bounded set of connections. It is safe for
// concurrent use. Close it after use.
type Pool struct {
	opts         Options
	dictionaries dictionaries
	ids          *correlator
	stats        poolCounters
	shards       atomic.Uint64 // 0 until learnt
	node         *node

	intake     context.Context // ends when Close begins
	stopIntake context.CancelFunc
	life       context.Context // ends when Close cuts what is in flight
	stopLife   context.CancelFunc
}

// New returns a pool; it opens no connection. The error is an *OptionError.
func New(opts Options) (*Pool, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{opts: opts, ids: newCorrelator()}
	p.intake, p.stopIntake = context.WithCancel(context.Background())
	p.life, p.stopLife = context.WithCancel(context.Background())
	p.node = newNode(p)
	return p, nil
}

// Close refuses new work with ErrClosed, sends callers waiting in line away,
// ends all watches and waits for the requests in flight. When ctx ends first it
// cuts their connections, after which those requests fail with ErrClosed, and
// returns an error that says how many there were. Either way no connection
// stays open. Closing again waits again.
func (p *Pool) Close(ctx context.Context) error {
	p.stopIntake()
	p.node.close()
	select {
	case <-p.node.drained:
		return nil
	default:
	}
	select {
	case <-p.node.drained:
		return nil
	case <-ctx.Done():
	}
	cut := p.node.abort() // counts before the dials in flight notice
	p.stopLife()
	if cut > 0 {
		return fmt.Errorf("pool: close: %d requests cut: %w", cut, ended(ctx))
	}
	return nil
}

// perform is do for a public operation: it counts, and says what failed.
func (p *Pool) perform(ctx context.Context, key msg.Opt[msg.Key], req msg.Request) (msg.Response, error) {
	p.stats.requests.Add(1)
	resp, sent, err := p.node.do(ctx, req)
	if err == nil {
		return resp, nil
	}
	p.stats.failures.Add(1)
	p.noteShards(err)
	return nil, &Error{
		Op:       req.RequestType().String(),
		Node:     p.opts.Address,
		Key:      key,
		Mutation: req.RequestType().Mutates(),
		Sent:     sent,
		Err:      err,
	}
}

// noteShards forgets the shard count when a node's answer contradicts it.
func (p *Pool) noteShards(err error) {
	var refusal *msg.ServerError
	if !errors.As(err, &refusal) {
		return
	}
	known := p.shards.Load()
	if told, ok := refusal.Fields.NumShards.Get(); ok && known != 0 && told != known {
		p.shards.CompareAndSwap(known, 0)
	}
}
