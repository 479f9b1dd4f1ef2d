package pool

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Conn is one connection with the operations of a pool and none of its
// conveniences: nothing is sent twice, nothing goes elsewhere, and when the
// connection ends, it has ended. It is safe for concurrent use; requests take
// turns. Close it after use.
type Conn struct {
	operations
	pool *Pool // for its settings, dictionaries and counters; it opens nothing
	node *node
	conn *conn

	turn     chan struct{} // held by who uses conn
	watching atomic.Bool   // conn is a watch's for good
	over     error         // why conn has ended; guarded by turn
}

// Connect opens a connection to Address, or to the first of SeedAddresses that
// accepts one, and identifies itself. ctx bounds only that. Options that speak
// of several connections, of idle ones, or of several nodes have no effect.
// The error is an *OptionError or an *Error.
func Connect(ctx context.Context, opts Options) (*Conn, error) {
	p, err := New(opts)
	if err != nil {
		return nil, err
	}
	j := p.journey(ctx, nil)
	err = j.inOrder(p.nodes(), unreachable, func(n *node) (bool, error) {
		nc, err := n.reach(ctx, p.life)
		if err != nil {
			return false, err
		}
		j.conn, j.only = nc, n
		return false, nil
	})
	if err != nil {
		p.Close(ctx)
		return nil, j.failure("connect", msg.None[msg.Key](), false, err)
	}
	c := &Conn{pool: p, node: j.only, conn: j.conn, turn: make(chan struct{}, 1)}
	c.operations = operations{c}
	return c, nil
}

// Node returns the address of the node.
func (c *Conn) Node() string { return c.node.opts.Address }

// Identity returns what the node confirmed when the connection was opened;
// false when nothing was introduced, which takes DisableCompression or a node
// that refuses anonymous introductions.
func (c *Conn) Identity() (Identified, bool) { return c.pool.Identity() }

// Close refuses new work with ErrClosed, waits for the request in flight and
// closes the connection, and with it the watch it has become. When ctx ends
// first it closes it all the same: the request fails with ErrClosed. Closing
// again does nothing.
func (c *Conn) Close(ctx context.Context) error {
	c.pool.stopIntake()
	if c.watching.Load() {
		c.conn.kill(ErrClosed)
		return c.pool.Close(ctx)
	}
	var cut error
	if c.idle(ctx) {
		c.conn.kill(ErrClosed)
		<-c.turn
	} else {
		c.conn.kill(ErrClosed)
		cut = fmt.Errorf("pool: close: the request in flight is cut: %w", ended(ctx))
	}
	return errors.Join(cut, c.pool.Close(context.WithoutCancel(ctx)))
}

// idle waits for the request in flight and takes the turn; false when ctx ends
// first.
func (c *Conn) idle(ctx context.Context) bool {
	select {
	case c.turn <- struct{}{}:
		return true
	default:
	}
	select {
	case c.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// take waits for the turn.
func (c *Conn) take(ctx context.Context) error {
	select {
	case <-c.pool.intake.Done():
		return ErrClosed
	default:
	}
	select {
	case c.turn <- struct{}{}:
	case <-c.pool.intake.Done():
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the connection: %w", ended(ctx))
	}
	switch {
	case c.over != nil:
	case c.watching.Load():
		c.over = fmt.Errorf("%w: the connection has become a watch's", ErrInvalid)
	case !c.conn.usable():
		c.end(fmt.Errorf("%w: closed by the node", ErrConnectionLost))
	default:
		return nil
	}
	err := c.over
	<-c.turn
	return err
}

// end closes the connection. The caller has the turn.
func (c *Conn) end(cause error) {
	c.over = fmt.Errorf("%w: the connection had ended: %w", ErrConnectionLost, cause)
	c.conn.kill(ErrClosed)
}

func (c *Conn) perform(ctx context.Context, key msg.Opt[msg.Key], req msg.Request) (msg.Response, error) {
	c.pool.stats.requests.Add(1)
	resp, sent, err := c.exchange(ctx, req)
	if err == nil {
		return resp, nil
	}
	c.pool.stats.failures.Add(1)
	c.pool.noteShards(err)
	return nil, c.failure(key, req, sent, err)
}

func (c *Conn) failure(key msg.Opt[msg.Key], req msg.Request, sent bool, err error) *Error {
	return &Error{Op: req.RequestType().String(), Node: c.Node(), Key: key, Mutation: req.RequestType().Mutates(), Sent: sent, Err: err}
}

func (c *Conn) exchange(ctx context.Context, req msg.Request) (msg.Response, bool, error) {
	if err := c.take(ctx); err != nil {
		return nil, false, err
	}
	defer func() { <-c.turn }()
	req.SetCorrelation(msg.Some(c.pool.ids.next()))
	began := time.Now()
	resp, sent, err := c.conn.exchange(ctx, req, c.pool.opts.RequestTimeout)
	c.node.answered(req, began, sent, err)
	if c.conn.broken {
		if err == nil {
			err = ended(ctx) // in the moment of the answer, which still counts
			c.end(err)
			return resp, sent, nil
		}
		c.end(err)
	}
	return resp, sent, err
}

// Watch is [Pool.Watch] on this very connection, which serves nothing else
// from then on and ends with the watch.
func (c *Conn) Watch(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	r := *req
	c.pool.stats.requests.Add(1)
	if err := c.take(ctx); err != nil {
		return nil, c.failure(msg.None[msg.Key](), &r, false, err)
	}
	defer func() { <-c.turn }()
	r.SetCorrelation(msg.Some(c.pool.ids.next()))
	frame, sent, err := c.conn.subscribe(ctx, &r, c.pool.opts.RequestTimeout)
	if err == nil && c.conn.broken {
		err = ended(ctx)
	}
	if err != nil {
		c.pool.stats.failures.Add(1)
		c.pool.noteShards(err)
		if c.conn.broken {
			c.end(err)
		}
		return nil, c.failure(msg.None[msg.Key](), &r, sent, err)
	}
	c.watching.Store(true)
	return &Watch{node: c.node, conn: c.conn, early: frame, hasOne: len(frame) > 0}, nil
}

func (c *Conn) pin(context.Context) (transport, error) { return c, nil }
func (c *Conn) leading() transport                     { return c }
func (c *Conn) where() string                          { return c.Node() }
func (c *Conn) settings() *Options                     { return c.node.opts }
func (c *Conn) shardCount() *atomic.Uint64             { return &c.pool.shards }
