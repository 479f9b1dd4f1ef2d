package pool

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Conn is one connection with the operations of a pool and none of its
// conveniences: nothing is sent twice, nothing goes elsewhere, and when the
// connection ends, it has ended. A Conn is safe for concurrent use; requests
// take turns. Close it after use.
type Conn struct {
	operations
	opts         Options
	conn         *conn.Conn
	dictionaries *conn.Dictionaries
	shards       atomic.Uint64

	turn    chan struct{}              // held by who uses conn
	closing chan struct{}              // closed when Close begins
	began   atomic.Bool                // Close has begun
	over    error                      // why conn has ended; guarded by turn
	watch   atomic.Pointer[conn.Watch] // conn belongs to it for good
}

// Connect opens a connection to Address, or to the first of SeedAddresses that
// accepts one, and identifies itself. ctx bounds only that. Options that speak
// of several connections, of idle ones, or of several nodes have no effect.
// The error is an *OptionError or an *Error.
func Connect(ctx context.Context, opts Options) (*Conn, error) {
	if err := checkContext("connect", ctx); err != nil {
		return nil, err
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Conn{opts: opts, dictionaries: new(conn.Dictionaries), turn: make(chan struct{}, 1), closing: make(chan struct{})}
	c.operations = operations{c}
	with := shared{c.dictionaries, conn.NewMemory(int64(opts.ResponseMemory)), conn.NewCorrelator()}
	failure := &cluster.Failure{}
	for _, address := range opts.addresses() {
		began := time.Now()
		c.conn, err = conn.NewOpener(opts.connection(address, false, with)).Open(ctx, nil)
		if hook := opts.Hooks.Connected; hook != nil {
			hook(Connected{Node: address, Took: time.Since(began), Err: err})
		}
		if err == nil {
			return c, nil
		}
		failure.Err, failure.Node = err, address
		failure.Attempts = append(failure.Attempts, conn.Attempt{Node: address, Err: err})
		if ctx.Err() != nil || !cluster.Unreachable(err) {
			break
		}
	}
	c.dictionaries.Close()
	return nil, failed("connect", msg.None[msg.Key](), false, failure)
}

// Node returns the address of the node.
func (c *Conn) Node() string { return c.conn.Node() }

// Identity returns what the node confirmed when the connection was opened;
// false when nothing was introduced, which takes DisableCompression or a node
// that refuses anonymous introductions.
func (c *Conn) Identity() (Identified, bool) {
	identified, ok := c.dictionaries.Identity()
	return Identified(identified), ok
}

// Close refuses new work with ErrClosed, waits for the request in flight and
// closes the connection, and with it the watch it has become. When ctx ends
// first it closes it all the same: the request fails with ErrClosed. Close may be
// called again.
func (c *Conn) Close(ctx context.Context) error {
	if err := checkContext("close", ctx); err != nil {
		return err
	}
	if !c.began.Swap(true) {
		close(c.closing)
	}
	c.dictionaries.Close() // the connection keeps what it uses
	if w := c.watch.Load(); w != nil {
		w.End(ErrClosed)
		return nil
	}
	if c.takeTurn(ctx) {
		c.end(ErrClosed)
		<-c.turn
		return nil
	}
	// The caller that has the turn sees the connection closed, and gives back what it shares.
	c.conn.Kill(ErrClosed)
	return fmt.Errorf("pool: close: the request in flight is cut: %w", conn.Ended(ctx))
}

// takeTurn waits for the request in flight; false when ctx ends first.
func (c *Conn) takeTurn(ctx context.Context) bool {
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
	case <-c.closing:
		return ErrClosed
	default:
	}
	select {
	case c.turn <- struct{}{}:
	case <-c.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the connection: %w", conn.Ended(ctx))
	}
	switch {
	case c.over != nil:
	case c.watch.Load() != nil:
		c.over = fmt.Errorf("%w: the connection has become a watch's", ErrInvalid)
	case !c.conn.Usable():
		c.end(fmt.Errorf("%w: closed by the node", ErrConnectionLost))
	default:
		return nil
	}
	err := c.over
	<-c.turn
	return err
}

// leave gives the turn back. A connection that is broken by then has ended.
func (c *Conn) leave(err error) {
	if c.conn.Broken() {
		if err == nil {
			err = errors.New("it was interrupted")
		}
		c.end(err)
	}
	<-c.turn
}

// end closes the connection. The caller has the turn.
func (c *Conn) end(cause error) {
	if c.over == nil {
		c.over = fmt.Errorf("%w: the connection had ended: %w", ErrConnectionLost, cause)
	}
	if cause == ErrClosed {
		c.over = ErrClosed
	}
	c.conn.Close()
}

func (c *Conn) do(ctx context.Context, r call) (msg.Response, error) {
	op := r.req.RequestType()
	if err := checkContext(op.String(), ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	resp, a := c.exchange(ctx, r)
	return resp, c.failure(ctx, r.key, began, a)
}

// exchange is one request in its turn.
func (c *Conn) exchange(ctx context.Context, r call) (resp msg.Response, a conn.Attempt) {
	if err := c.take(ctx); err != nil {
		return nil, conn.Unsent(c.Node(), r.req.RequestType(), err)
	}
	defer func() { c.leave(a.Err) }()
	timeout := r.timeout
	if timeout == 0 {
		timeout = c.opts.RequestTimeout
	}
	return c.conn.Do(ctx, r.req, timeout)
}

// failure tells hooks of an attempt, and makes its error, if it has one.
func (c *Conn) failure(ctx context.Context, key msg.Opt[msg.Key], began time.Time, a conn.Attempt) error {
	if hook := c.opts.Hooks.Answered; hook != nil && a.Connected {
		hook(Answered{Node: a.Node, Op: a.Operation, Took: a.Duration, Sent: a.Sent, Err: a.Err})
	}
	var err error
	if a.Err != nil {
		noteShards(&c.shards, a.Err)
		err = failed(a.Operation.String(), key, a.Operation.Mutates(), attemptFailure(a))
	}
	if hook := c.opts.Hooks.Done; hook != nil {
		d := Done{Context: ctx, Op: a.Operation, Node: a.Node, Attempts: 1, Took: time.Since(began), Err: err}
		if a.Err != nil {
			d.Failed = []Attempt{attemptOf(a)}
		}
		hook(d)
	}
	return err
}

// Watch is [Pool.Watch] on this very connection, which serves nothing else
// from then on and ends with the watch.
func (c *Conn) Watch(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	if err := checkWatch(ctx, req); err != nil {
		return nil, err
	}
	r := *req
	began := time.Now()
	w, a := c.subscribe(ctx, &r)
	if err := c.failure(ctx, msg.None[msg.Key](), began, a); err != nil {
		return nil, err
	}
	return &Watch{watch: w}, nil
}

func (c *Conn) subscribe(ctx context.Context, req *msg.WatchRequest) (w *conn.Watch, a conn.Attempt) {
	if err := c.take(ctx); err != nil {
		return nil, conn.Unsent(c.Node(), req.RequestType(), err)
	}
	defer func() {
		if w == nil {
			c.leave(a.Err)
			return
		}
		<-c.turn
	}()
	w, a = c.conn.Watch(ctx, req, c.opts.RequestTimeout, c.opts.WatchLiveness)
	if w != nil {
		c.watch.Store(w)
		if c.began.Load() { // Close may have missed it
			w.End(ErrClosed)
		}
	}
	return w, a
}

func (c *Conn) pin(context.Context) (transport, error) { return c, nil }
func (c *Conn) leading() transport                     { return c }
func (c *Conn) node() string                           { return c.Node() }
func (c *Conn) settings() *Options                     { return &c.opts }
func (c *Conn) shardCount() *atomic.Uint64             { return &c.shards }
