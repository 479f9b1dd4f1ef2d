package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// ErrPoolTimeout: the caller's deadline passed before a connection became free.
// Documented in package pool.
var ErrPoolTimeout = errors.New("no connection became free")

// Config tells how many connections a node may have and how they are used.
type Config struct {
	MaxConnections int
	IdleTimeout    time.Duration
	RequestTimeout time.Duration
	WatchLiveness  time.Duration
	Events         Events
}

// Events are called when something happens, never with a lock held and never from
// within what Close waits for. Any may be nil.
type Events struct {
	// Opened: an attempt to open a connection has ended.
	Opened func(node string, took time.Duration, err error)
	// Closed: a connection was closed.
	Closed func(node string)
	// Waiting: a caller has begun to wait in line, the given number in all.
	Waiting func(node string, waiting int)
	// Breaker: the breaker has changed.
	Breaker func(node string, state BreakerState, failures int)
	// WatchEnded: a watch has ended.
	WatchEnded func(node string, cause error)
}

// leased is a connection with what the node knows of it.
type leased struct {
	*conn.Conn
	reused       bool         // it had an exchange before, so it may have died since
	lastUse      moment       // when it was opened, or given back
	shard        Shard        // of its last request
	changedShard bool         // it was at another shard before
	check        *healthCheck // the latest one for a request on it; guarded by the node's lock
}

// Node is the connections to one node. A Node is safe for concurrent use.
type Node struct {
	config  Config
	opener  *conn.Opener
	stats   counters
	breaker breaker

	ctx    context.Context // of openings; ends when Close begins
	cancel context.CancelFunc

	mu           sync.Mutex
	idle         []*leased            // the last one was used last
	open         map[*leased]struct{} // all of them, in use and idle
	slots        int                  // taken: idle, in use or being opened
	opening      int                  // of these, being opened
	openingSince time.Time            // when there was none before
	line         waitQueue
	watches      map[*conn.Watch]struct{}
	check        *healthCheck // under way
	reaper       *time.Timer
	reaping      bool
	closed       bool
	cut          bool
	pending      int           // what Close waits for: requests, openings and watches
	drained      chan struct{} // closed when the node is closed and nothing is pending

	retired atomic.Bool // closed alone, while the pool goes on
}

// New returns a node, which opens nothing before it is asked.
func New(config Config, opener *conn.Opener) *Node {
	n := &Node{
		config:  config,
		opener:  opener,
		open:    make(map[*leased]struct{}),
		watches: make(map[*conn.Watch]struct{}),
		drained: make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Address is the address of the node.
func (n *Node) Address() string { return n.opener.Address() }

// wanted is what a request needs of its connection.
type wanted struct {
	shard      Shard // preferably
	repeatable bool  // should the connection be lost, the request is made again
}

// justUsed is how long after its use a connection is taken for open without a look at the
// socket, by requests that lose nothing if it is not: the look costs a system call.
const justUsed = time.Millisecond

// acquire leases a connection: of those still usable the one used last, if possible for
// the same shard, or a new one.
func (n *Node) acquire(ctx context.Context, w wanted) (*leased, error) {
	for {
		c, inLine, err := n.takeOrQueue(w.shard)
		if inLine != nil {
			c, err = n.await(ctx, inLine)
		}
		if err != nil {
			return nil, err
		}
		if !c.reused || n.fit(c, w) {
			return c, nil
		}
		n.discard(c)
	}
}

// fit reports whether a connection that was used before is good for a request.
func (n *Node) fit(c *leased, w wanted) bool {
	unused := now().since(c.lastUse)
	switch {
	case unused >= n.config.IdleTimeout, !c.AtRest():
		return false
	}
	return w.repeatable && unused < justUsed || c.Open()
}

// takeOrQueue returns an idle connection or joins the line, and sees that connections
// are being opened for those who wait.
func (n *Node) takeOrQueue(shard Shard) (*leased, *waiter, error) {
	n.mu.Lock()
	if n.closed {
		defer n.mu.Unlock()
		return nil, nil, n.refusal()
	}
	if c := n.popIdle(shard); c != nil {
		n.pending++
		n.mu.Unlock()
		return c, nil, nil
	}
	w := newWaiter()
	n.line.push(w)
	n.pending++ // the waiter's
	n.openForWaiters()
	waiting, full := n.line.length, n.line.length > n.opening
	n.mu.Unlock()
	if full {
		n.stats.waits.Add(1)
		if n.config.Events.Waiting != nil {
			n.config.Events.Waiting(n.Address(), waiting)
		}
	}
	return nil, w, nil
}

// refusal says why a closed node does nothing. The caller holds the lock.
func (n *Node) refusal() error {
	if n.retired.Load() {
		return fmt.Errorf("%w: the node is no longer known", conn.ErrConnect)
	}
	return conn.ErrClosed
}

// await waits in line. A call that returns without a connection is no longer pending.
func (n *Node) await(ctx context.Context, w *waiter) (*leased, error) {
	began := time.Now()
	select {
	case g := <-w.ready:
		if g.conn == nil {
			n.done()
		}
		return g.conn, g.err
	case <-ctx.Done():
	}
	n.mu.Lock()
	inLine := n.line.remove(w)
	opening := n.opening > 0
	n.mu.Unlock()
	if !inLine { // granted in the same moment: passed on
		if g := <-w.ready; g.conn != nil {
			n.release(g.conn)
		} else {
			n.done()
		}
	} else {
		n.done()
	}
	if !opening {
		if ctx.Err() == context.DeadlineExceeded {
			return nil, &lineError{n.config.MaxConnections, conn.Ended(ctx)}
		}
		return nil, fmt.Errorf("waiting for one of %d connections: %w", n.config.MaxConnections, conn.Ended(ctx))
	}
	if ctx.Err() == context.DeadlineExceeded && time.Since(began) >= shortestEvidence {
		n.breaker.noteSlow()
	}
	return nil, fmt.Errorf("%w: waiting for a connection that is being opened: %w", conn.ErrConnect, conn.Ended(ctx))
}

// shortestEvidence is how long a caller must have waited in vain for that to say
// something about the node.
const shortestEvidence = 50 * time.Millisecond

// lineError is ErrPoolTimeout with the ceiling that was reached.
type lineError struct {
	ceiling int
	cause   error
}

func (e *lineError) Error() string {
	return fmt.Sprintf("%v (all %d in use): %v", ErrPoolTimeout, e.ceiling, e.cause)
}
func (e *lineError) Unwrap() []error { return []error{ErrPoolTimeout, e.cause} }
func (e *lineError) Timeout() bool   { return true }

// release gives a leased connection back, or closes it when it is broken.
func (n *Node) release(c *leased) {
	if c.Broken() {
		n.discard(c)
		return
	}
	c.reused, c.lastUse = true, now()
	n.put(c)
}

// put hands a usable connection to the first in line or keeps it.
func (n *Node) put(c *leased) {
	n.mu.Lock()
	switch {
	case n.closed:
		n.mu.Unlock()
		n.discard(c)
		return
	case n.line.grant(grant{conn: c}): // the waiter's count stands for the request
	default:
		n.idle = append(n.idle, c)
		n.reapLater(n.config.IdleTimeout)
		if c.changedShard {
			n.openOneMore() // there will be one for each shard in use
		}
	}
	n.settled()
	n.mu.Unlock()
}

// discard closes a leased connection and frees its slot.
func (n *Node) discard(c *leased) {
	n.closeAll([]*leased{c})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.freeSlot(c)
	n.settled()
}

// closeAll closes connections that nobody uses.
func (n *Node) closeAll(connections []*leased) {
	for _, c := range connections {
		n.stats.discarded.Add(1)
		c.Close()
		if n.config.Events.Closed != nil {
			n.config.Events.Closed(n.Address())
		}
	}
}

// freeSlot removes c from the open set and uses its slot for those who wait. The caller
// holds the lock.
func (n *Node) freeSlot(c *leased) {
	delete(n.open, c)
	n.slots--
	n.openForWaiters()
}

// dropIdle closes what has been idle since before a moment: what one of them met, the
// others are likely to meet.
func (n *Node) dropIdle(before time.Time) {
	n.mu.Lock()
	var stale, kept []*leased
	for _, c := range n.idle {
		if c.lastUse.monotonic.Before(before) {
			stale = append(stale, c)
		} else {
			kept = append(kept, c)
		}
	}
	n.idle = kept
	for _, c := range stale {
		n.freeSlot(c)
	}
	n.mu.Unlock()
	n.closeAll(stale)
}

// done counts one pending thing less.
func (n *Node) done() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled()
}

// settled is done for those who hold the lock.
func (n *Node) settled() {
	n.pending--
	n.drainedIfIdle()
}

func (n *Node) drainedIfIdle() {
	if !n.closed || n.pending > 0 {
		return
	}
	select {
	case <-n.drained:
	default:
		close(n.drained)
	}
}

// Busy reports whether anybody uses the node or waits for it.
func (n *Node) Busy() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pending > 0
}

// exchange is one request on one connection, given back whatever happens.
func (n *Node) exchange(ctx context.Context, c *leased, req msg.Request, shard Shard, timeout time.Duration) (msg.Response, conn.Attempt) {
	defer n.release(c)
	c.setShard(shard)
	began := time.Now()
	resp, a := c.Do(ctx, req, timeout)
	n.judge(c, began, &a)
	return resp, a
}
