package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// Pool performs requests on a bounded set of connections. It is safe for
// concurrent use. Close it after use.
type Pool struct {
	operations
	opts         Options
	dictionaries dictionaries
	ids          *correlator
	stats        poolCounters
	shards       atomic.Uint64 // 0 until learnt

	mu         sync.Mutex // guards changes of known, and closing
	known      atomic.Pointer[[]*node]
	configured int // how many of them, from the first on, are configured
	closing    bool
	undrained  atomic.Int64  // nodes not drained, and 1 until Close begins
	drained    chan struct{} // closed when that is 0

	leader    atomic.Pointer[leadership]
	wary      atomic.Bool   // a mutation was left unanswered since a leader was confirmed
	searching chan struct{} // held by who searches the leader; guards found
	found     finding
	turn      atomic.Uint64 // of the followers
	looked    atomic.Int64  // when learnLeader last searched, in Unix nanoseconds

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
	p := &Pool{opts: opts, ids: newCorrelator(), searching: make(chan struct{}, 1), drained: make(chan struct{})}
	p.operations = operations{p}
	p.intake, p.stopIntake = context.WithCancel(context.Background())
	p.life, p.stopLife = context.WithCancel(context.Background())
	var known []*node
	for _, address := range opts.addresses() {
		known = append(known, newNode(p, address))
	}
	p.known.Store(&known)
	p.configured = len(known)
	p.undrained.Store(int64(len(known)) + 1)
	return p, nil
}

// Close refuses new work with ErrClosed, sends callers waiting in line away,
// ends all watches and waits for the requests in flight. When ctx ends first it
// cuts their connections, after which those requests fail with ErrClosed, and
// returns an error that says how many there were. Either way no connection
// stays open. Closing again waits again.
func (p *Pool) Close(ctx context.Context) error {
	p.stopIntake()
	p.begin()
	select {
	case <-p.drained:
		return nil
	default:
	}
	select {
	case <-p.drained:
		return nil
	case <-ctx.Done():
	}
	cut := 0
	for _, n := range p.nodes() {
		cut += n.abort() // counts before the dials in flight notice
	}
	p.stopLife()
	if cut > 0 {
		return fmt.Errorf("pool: close: %d requests cut: %w", cut, ended(ctx))
	}
	return nil
}

// begin makes Close begin: no node is added any more, and those there are
// refuse new work.
func (p *Pool) begin() {
	p.mu.Lock()
	again := p.closing
	p.closing = true
	p.mu.Unlock()
	for _, n := range p.nodes() {
		n.close()
	}
	if !again {
		p.nodeDrained()
	}
}

// nodeDrained notices when nobody uses a coder any more.
func (p *Pool) nodeDrained() {
	if p.undrained.Add(-1) == 0 {
		p.dictionaries.close()
		close(p.drained)
	}
}

// perform is one public operation: it counts, and says what failed.
func (p *Pool) perform(ctx context.Context, key msg.Opt[msg.Key], req msg.Request) (msg.Response, error) {
	j := journey{pool: p, ctx: ctx, req: req}
	return j.perform(key)
}

func (j *journey) perform(key msg.Opt[msg.Key]) (msg.Response, error) {
	p, req := j.pool, j.req
	p.stats.requests.Add(1)
	resp, err := j.run()
	if err == nil {
		return resp, nil
	}
	p.stats.failures.Add(1)
	failed := j.failure(req.RequestType().String(), key, req.RequestType().Mutates(), err)
	p.noteShards(failed)
	return nil, failed
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
