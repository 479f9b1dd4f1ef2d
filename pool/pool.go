package pool

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// Pool performs requests on a bounded set of connections. A Pool is safe for
// concurrent use. Close it after use.
type Pool struct {
	operations
	opts         Options
	cluster      *cluster.Cluster
	dictionaries conn.Dictionaries
	memory       *conn.Memory
	ids          *conn.Correlator
	stats        poolCounters
	shards       atomic.Uint64 // 0 until learnt
}

// New returns a pool; it opens no connection. The error is an *OptionError.
func New(opts Options) (*Pool, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{opts: opts, ids: conn.NewCorrelator(), memory: conn.NewMemory(int64(opts.ResponseMemory))}
	p.operations = operations{p}
	p.cluster = cluster.New(cluster.Config{
		Addresses:      opts.addresses(),
		NewNode:        p.newNode,
		Follow:         p.opts.follow,
		Followers:      opts.RouteReadsToFollowers,
		FailoverBudget: opts.FailoverBudget,
		RequestTimeout: opts.RequestTimeout,
		ProbeAs:        p.clientID,
		Shard:          p.shardOf,
		Events:         p.opts.Hooks.clusterEvents(),
	})
	return p, nil
}

func (p *Pool) newNode(address string, learnt bool) *node.Node {
	events := p.opts.Hooks.nodeEvents()
	events.WatchEnded = func(address string, cause error) {
		p.opts.Logger.LogAttrs(context.Background(), slog.LevelDebug, "watch ended", slog.String("node", address), slog.Any("error", cause))
	}
	return node.New(node.Config{
		MaxConnections: p.opts.MaxConnections,
		IdleTimeout:    p.opts.IdleTimeout,
		RequestTimeout: p.opts.RequestTimeout,
		WatchLiveness:  p.opts.WatchLiveness,
		Events:         events,
	}, conn.NewOpener(p.opts.connection(address, learnt, shared{&p.dictionaries, p.memory, p.ids})))
}

// shared is what all connections of a pool have in common.
type shared struct {
	dictionaries *conn.Dictionaries
	memory       *conn.Memory
	ids          *conn.Correlator
}

// connection is how connections to an address are opened.
func (o *Options) connection(address string, learnt bool, with shared) conn.Config {
	c := conn.Config{
		Address:        address,
		Dial:           conn.DialFunc(o.Dial),
		Introduce:      o.Identity.introduce(),
		Anonymous:      !o.DisableCompression && !o.near(address),
		Dictionaries:   with.dictionaries,
		Memory:         with.memory,
		IDs:            with.ids,
		ConnectTimeout: o.ConnectTimeout,
		MaxRequest:     uint32(o.MaxRequestSize),
		MaxResponse:    uint32(o.MaxResponseSize),
		Version:        wire.Version(o.ProtocolVersion),
		Logger:         o.Logger,
	}
	if o.TLS != nil {
		c.TLS = o.tlsConfig(address, learnt)
	}
	if learnt {
		c.AllowIP = o.reachable(address)
	}
	return c
}

// clientID is the id that the pool's connections have proved.
func (p *Pool) clientID() (id msg.ID, proven bool) {
	identified, _ := p.Identity()
	return identified.ClientID.Get()
}

// Close refuses new work with ErrClosed, sends callers waiting in line away,
// ends all watches and waits for the requests in flight. When ctx ends first it
// cuts their connections, after which those requests fail with ErrClosed, and
// returns an error that says how many there were. Either way no connection
// stays open. Close may be called again, and from within every function of the user's
// that the pool calls: what such a function does is not waited for.
func (p *Pool) Close(ctx context.Context) error {
	if err := checkContext("close", ctx); err != nil {
		return err
	}
	defer p.dictionaries.Close()
	return p.cluster.Close(ctx)
}

// call is one request on its way through the package.
type call struct {
	req     msg.Request
	key     msg.Opt[msg.Key]
	timeout time.Duration // of each attempt; 0: RequestTimeout
}

// perform is one operation on the route given: it counts, and says what failed.
func (p *Pool) perform(ctx context.Context, route cluster.Route, c call) (msg.Response, error) {
	op := c.req.RequestType()
	if err := checkContext(op.String(), ctx); err != nil {
		return nil, err
	}
	began := p.begin()
	resp, tries, failure := p.cluster.Do(ctx, cluster.Operation{Request: c.req, Route: route, Timeout: c.timeout})
	if err := p.end(ctx, op, c.key, began, tries, failure); err != nil {
		return nil, err
	}
	return resp, nil
}

// begin counts an operation.
func (p *Pool) begin() (began time.Time) {
	p.stats.requests.Add(1)
	if p.opts.Hooks.Done != nil {
		began = time.Now()
	}
	return began
}

// end tells of the end of an operation, and makes its error if it has failed.
func (p *Pool) end(ctx context.Context, op msg.RequestType, key msg.Opt[msg.Key], began time.Time, tries cluster.Tries, failure *cluster.Failure) error {
	d := Done{Context: ctx, Op: op, Attempts: tries.Made}
	if failure != nil {
		p.stats.failures.Add(1)
		err := failed(op.String(), key, op.Mutates(), failure)
		p.noteShards(err)
		d.Node, d.Err = err.Node, err
	}
	if hook := p.opts.Hooks.Done; hook != nil {
		d.Took = time.Since(began)
		for _, a := range tries.Failed {
			d.Failed = append(d.Failed, attemptOf(a))
		}
		hook(d)
	}
	return d.Err
}

// noteShards forgets the shard count when a node's answer contradicts it.
func (p *Pool) noteShards(err error) { noteShards(&p.shards, err) }

func noteShards(shards *atomic.Uint64, err error) {
	refusal := cluster.Refusal(err)
	if refusal == nil {
		return
	}
	known := shards.Load()
	if told, ok := refusal.Fields.NumShards.Get(); ok && known != 0 && told != known {
		shards.CompareAndSwap(known, 0)
	}
}
