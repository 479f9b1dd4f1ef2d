package pool

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// node is the connections to one node: a stack of idle ones, a ceiling, a line
// of callers waiting below it, and the watches beside it.
//
// A slot is the right to have one connection. It is taken before dialling and
// freed after closing; whoever frees one passes it to the first in line.
type node struct {
	pool         *Pool
	opts         *Options // the pool's, with the Address of this node
	dictionaries *dictionaries
	ids          *correlator
	stats        nodeCounters
	breaker      breaker
	mute         atomic.Bool // the node refuses anonymous Identify

	intake, life context.Context // end when Close begins, and when it cuts

	mu         sync.Mutex
	idle       []*conn            // the last one was used last
	open       map[*conn]struct{} // all of them, leased and idle
	slots      int                // taken: idle, leased or being dialled
	line       waitQueue
	watches    map[*Watch]struct{}
	opening    int      // watches not yet acknowledged
	background *opening // a connection, in the background
	reaper     *time.Timer
	reaping    bool
	closed     bool
	cut        bool

	retired atomic.Bool // closed alone, while the pool goes on
}

func newNode(p *Pool, address string) *node {
	opts := p.opts
	opts.Address = address
	return &node{
		pool:         p,
		opts:         &opts,
		dictionaries: &p.dictionaries,
		ids:          p.ids,
		intake:       p.intake,
		life:         p.life,
		open:         make(map[*conn]struct{}),
		watches:      make(map[*Watch]struct{}),
	}
}

// acquire leases a connection for a request of no particular shard.
func (n *node) acquire(ctx context.Context, fresh bool) (*conn, error) {
	return n.lease(ctx, anyShard, fresh)
}

// lease leases a connection: of those still usable the one used last, if
// possible for the same shard, or a new one. fresh demands a new one.
func (n *node) lease(ctx context.Context, home home, fresh bool) (*conn, error) {
	c, err := n.slot(ctx, home)
	for c != nil {
		if !fresh && !n.expired(c, time.Now()) && c.usable() {
			return c, nil
		}
		n.stats.discarded.Add(1)
		c.nc.Close()
		c = n.swap(c, home, fresh)
	}
	if err != nil {
		return nil, err
	}
	c, err = n.reach(ctx, n.life)
	if err == nil {
		err = n.adopt(c)
	}
	if err != nil {
		n.freeSlot()
		return nil, err
	}
	return c, nil
}

// slot returns an idle connection, or nil with a slot to dial in; it waits in
// line for either.
func (n *node) slot(ctx context.Context, home home) (*conn, error) {
	n.mu.Lock()
	if n.closed {
		defer n.mu.Unlock()
		return nil, n.refusal()
	}
	if c := n.popIdle(home); c != nil {
		n.mu.Unlock()
		return c, nil
	}
	if n.slots < n.opts.MaxConnections {
		n.slots++
		n.mu.Unlock()
		return nil, nil
	}
	w := newWaiter()
	n.line.push(w)
	n.mu.Unlock()
	n.stats.waits.Add(1)
	return n.await(ctx, w)
}

// refusal says why a closed node does nothing. The caller holds the lock.
func (n *node) refusal() error {
	if n.retired.Load() && n.intake.Err() == nil {
		return fmt.Errorf("%w: the node is no longer known", ErrConnect)
	}
	return ErrClosed
}

// await waits in line.
func (n *node) await(ctx context.Context, w *waiter) (*conn, error) {
	select {
	case g := <-w.ready:
		return g.conn, g.err
	case <-ctx.Done():
	}
	n.mu.Lock()
	inLine := n.line.remove(w)
	n.mu.Unlock()
	if !inLine {
		// Granted in the same moment: pass it on.
		switch g := <-w.ready; {
		case g.conn != nil:
			n.put(g.conn)
		case g.err == nil:
			n.freeSlot()
		}
	}
	if ctx.Err() == context.DeadlineExceeded {
		return nil, &lineError{n.opts.MaxConnections, ended(ctx)}
	}
	return nil, fmt.Errorf("waiting for one of %d connections: %w", n.opts.MaxConnections, ended(ctx))
}

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

// swap takes the closed connection c off the books. It returns the next idle
// connection, which has a slot of its own, or nil with c's slot to dial in.
func (n *node) swap(c *conn, home home, fresh bool) *conn {
	n.mu.Lock()
	delete(n.open, c)
	var next *conn
	if !fresh {
		next = n.popIdle(home)
	}
	n.mu.Unlock()
	if next != nil {
		n.freeSlot()
	}
	return next
}

// adopt enters a new connection into the books.
func (n *node) adopt(c *conn) error {
	n.mu.Lock()
	cut := n.cut
	if !cut {
		n.open[c] = struct{}{}
	}
	n.mu.Unlock()
	if cut {
		c.nc.Close()
		return ErrClosed
	}
	return nil
}

// release gives a leased connection back, or closes it when it is broken.
func (n *node) release(c *conn) {
	if c.broken {
		n.discard(c)
		return
	}
	n.put(c)
}

// put hands a usable connection to the first in line or keeps it.
func (n *node) put(c *conn) {
	c.reused, c.idleSince = true, time.Now()
	n.mu.Lock()
	switch {
	case n.closed:
		n.mu.Unlock()
		n.discard(c)
		return
	case n.line.grant(grant{conn: c}):
	default:
		n.idle = append(n.idle, c)
		n.reapLater(n.opts.IdleTimeout)
		if c.moved {
			n.widen()
		}
	}
	n.mu.Unlock()
}

// discard closes a leased connection and frees its slot.
func (n *node) discard(c *conn) {
	n.stats.discarded.Add(1)
	c.nc.Close()
	n.mu.Lock()
	delete(n.open, c)
	n.mu.Unlock()
	n.freeSlot()
}

// freeSlot passes a slot to the first in line or gives it up.
func (n *node) freeSlot() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed && n.line.grant(grant{}) {
		return
	}
	n.slots--
	n.settle()
}
