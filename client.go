package celeriant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// ErrClosed: the client was closed.
var ErrClosed = errors.New("celeriant: client closed")

// BudgetError refuses a subscription whose buffer does not fit into what the
// others leave of the client's memory budget.
type BudgetError struct {
	// Wanted is the subscription's buffer, Taken the sum of the others', Budget
	// the limit, all in bytes.
	Wanted, Taken, Budget int64
}

// Error names the three numbers.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("celeriant: a buffer of %d bytes exceeds the memory budget of %d bytes, of which %d are taken",
		e.Wanted, e.Budget, e.Taken)
}

// Client is a connection to a store: a pool for requests, and the subscriptions
// of its observables, which share watch connections and reads where their scopes
// overlap. A Client is safe for concurrent use.
type Client struct {
	pool   *pool.Pool
	source *stream.Shared
	logger *slog.Logger
	hooks  stream.Hooks
	awaits await.Hooks
	budget int64

	// closed is done after Close: abandoned observers end.
	closed context.Context
	close  context.CancelCauseFunc
	// observers are the rxgo views at work.
	observers stream.Handlers

	mu      sync.Mutex
	closing bool
	// open holds the subscriptions that may run, with their buffers.
	open map[*stream.Subscription]int64
	// reserved counts the bytes of subscriptions being opened.
	reserved int64
}

// Connect makes a client of the node at address, "host:port". Despite its name it
// opens no connection yet: those are opened when they are needed, and again when they
// are lost. Connect fails only for options that make no sense, with a
// [*pool.OptionError]. To see whether the node is there, ask it something, for
// instance Client.Pool().Shards.
func Connect(address string, opts ...ConnectOption) (*Client, error) {
	o := connectOptions{pool: pool.Options{Address: address}}
	for _, opt := range opts {
		opt(&o)
	}
	if o.budget < 0 {
		return nil, &pool.OptionError{Option: "MemoryBudget", Value: fmt.Sprint(o.budget), Limit: "must not be negative"}
	}
	p, err := pool.New(o.pool)
	if err != nil {
		return nil, fmt.Errorf("celeriant: connecting to %q: %w", address, err)
	}
	c := &Client{
		pool:   p,
		source: stream.Share(stream.FromPool(p)),
		logger: o.pool.Logger,
		hooks:  o.stream,
		awaits: o.await,
		budget: o.budget,
		open:   make(map[*stream.Subscription]int64),
	}
	c.closed, c.close = context.WithCancelCause(context.Background())
	return c, nil
}

// Pool returns the pool that the client works on, for reads, conditional writes,
// trims, deletes, lists and the rest of the protocol. The client closes it.
func (c *Client) Pool() *pool.Pool { return c.pool }

// WriteEvents appends events to one aggregate as one batch, and returns the
// version it has become. The write is sent once; msg.Ambiguous tells whether a
// write that failed may have been applied all the same. ctx bounds it.
func (c *Client) WriteEvents(ctx context.Context, key msg.Key, events []msg.Event, clientID msg.ID, opts ...WriteOption) (uint64, error) {
	var o pool.WriteOptions
	for _, opt := range opts {
		opt(&o)
	}
	return c.pool.WriteEvents(ctx, key, events, clientID, o)
}

// Close ends all subscriptions and observers, waits until their handlers have returned
// and what was handled is stored, and for the requests in flight, until ctx ends, and
// closes every connection. A checkpoint store that is away is tried for 5 s once no handler
// works any more, whatever the number of subscriptions. Close returns what did not end in time. Close may be called
// again, and waits again.
//
// Close may be called inside a handler, OnState or OnEnd: it waits for all else then, not
// for that callback. Inside a hook that is called for a request (Read, List, Commit)
// Close does not wait for that subscription, and returns [stream.ErrInHook].
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	open := make([]*stream.Subscription, 0, len(c.open))
	for s := range c.open {
		open = append(open, s)
	}
	c.mu.Unlock()
	c.close(ErrClosed)
	// All of them are told before the first is waited for.
	inside := false
	for _, s := range open {
		s.Fail(stream.ErrClosed)
		inside = inside || s.Inside()
	}
	var errs []error
	for _, s := range open {
		errs = append(errs, s.Close(ctx))
	}
	if !inside { // an observer may wait for the callback that this is called from
		if err := c.observers.Wait(ctx); err != nil {
			errs = append(errs, fmt.Errorf("celeriant: waiting for observers: %w", err))
		}
	}
	return errors.Join(append(errs, c.source.Close(ctx), c.pool.Close(ctx))...)
}

// Shared tells what the client's subscriptions share: connections of watches, and
// reads.
func (c *Client) Shared() stream.ShareStats { return c.source.Stats() }

// subscribe opens a subscription within the budget.
func (c *Client) subscribe(ctx context.Context, scope Scope, o stream.Options) (*stream.Subscription, error) {
	if o.Logger == nil {
		o.Logger = c.logger
	}
	o.Hooks = c.hooks.And(o.Hooks)
	if o.Buffer == 0 {
		o.Buffer = stream.DefaultBuffer
		if c.budget > 0 {
			o.Buffer = min(o.Buffer, c.budget)
		}
	}
	if err := c.reserve(o.Buffer); err != nil {
		return nil, err
	}
	s, err := c.openIn(ctx, scope, o)
	if err != nil {
		c.settle(nil, o.Buffer)
		return nil, err
	}
	if !c.settle(s, o.Buffer) {
		_ = s.Close(ctx)
		return nil, ErrClosed
	}
	return s, nil
}

// openIn opens a subscription until ctx ends or the client is closed, although the
// checkpoint store may look at no context: what it still comes to is closed.
func (c *Client) openIn(ctx context.Context, scope Scope, o stream.Options) (*stream.Subscription, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.closed, func() { cancel(ErrClosed) })()
	type outcome struct {
		s   *stream.Subscription
		err error
	}
	opened := make(chan outcome, 1)
	go func() {
		out := outcome{err: errExited}
		defer func() {
			if value := recover(); value != nil {
				out.err = fmt.Errorf("celeriant: opening a subscription: %w", &stream.PanicError{Value: value, Stack: debug.Stack()})
			}
			opened <- out
		}()
		out.s, out.err = stream.Open(ctx, c.source, scope, o)
	}()
	select {
	case out := <-opened:
		return out.s, out.err
	case <-ctx.Done():
	}
	go func() {
		if out := <-opened; out.err == nil {
			out.s.Fail(context.Cause(ctx))
		}
	}()
	return nil, fmt.Errorf("celeriant: opening a subscription: %w", context.Cause(ctx))
}

// errExited is the outcome of an opening whose goroutine was ended by user code.
var errExited = errors.New("celeriant: the checkpoint store ended its goroutine (runtime.Goexit)")

// reserve takes bytes of the budget for a subscription that is to be opened.
func (c *Client) reserve(bytes int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	taken := c.reserved
	for s, buffer := range c.open {
		select {
		case <-s.Done():
			delete(c.open, s)
		default:
			taken += buffer
		}
	}
	if c.budget > 0 && bytes > c.budget-taken {
		return &BudgetError{Wanted: bytes, Taken: taken, Budget: c.budget}
	}
	c.reserved += bytes
	return nil
}

// settle turns the reservation into a subscription, or takes it back; false
// means that the client was closed meanwhile.
func (c *Client) settle(s *stream.Subscription, bytes int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved -= bytes
	if s == nil || c.closing {
		return false
	}
	c.open[s] = bytes
	return true
}
