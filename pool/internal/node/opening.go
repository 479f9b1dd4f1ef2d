package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// slowNodeWait is how long a caller who has other nodes to ask waits for a connection
// to a node whose last one failed.
const slowNodeWait = 100 * time.Millisecond

// errGoexit: user code has ended the goroutine it was called in.
var errGoexit = errors.New("the dialer, identity or certificate source has ended its goroutine")

// openForWaiters opens connections for those in line that none is being opened for, as
// far as slots and breaker allow. Whom the breaker leaves without hope is sent away.
// The caller holds the lock.
func (n *Node) openForWaiters() {
	for n.line.length > n.opening && n.slots < n.config.MaxConnections && !n.closed {
		trial, err := n.breaker.admit(time.Now())
		if err != nil {
			for n.line.length > n.opening && n.line.grantLast(grant{err: err}) {
			}
			return
		}
		n.startOpening(trial)
	}
}

// openOneMore opens a connection that nobody waits for, one at a time. The caller holds
// the lock.
func (n *Node) openOneMore() {
	if n.closed || n.opening > 0 || n.slots >= n.config.MaxConnections {
		return
	}
	if trial, err := n.breaker.admit(time.Now()); err == nil {
		n.startOpening(trial)
	}
}

// startOpening opens a connection in the background. The caller holds the lock.
func (n *Node) startOpening(trial bool) {
	if n.opening == 0 {
		n.openingSince = time.Now()
	}
	n.slots++
	n.opening++
	n.pending++
	go n.openInBackground(trial)
}

// openInBackground opens a connection for the first in line, or for the idle stack.
func (n *Node) openInBackground(trial bool) {
	o := newOpening(n)
	defer o.deliver()
	o.open(n.ctx, trial)
}

// opening is one connection on its way, in a goroutine of its own. User code on the way
// may panic, or end that goroutine.
type opening struct {
	node    *Node
	conn    *conn.Conn
	err     error
	counted bool // Close waits for it; guarded by the node's lock
}

func newOpening(n *Node) *opening { return &opening{node: n, err: errGoexit, counted: true} }

// open opens the connection, and reports to the breaker.
func (o *opening) open(ctx context.Context, trial bool) {
	n, began := o.node, time.Now()
	n.stats.dials.Add(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				o.err = fmt.Errorf("the dialer, identity or certificate source has panicked: %v", v)
			}
		}()
		o.conn, o.err = n.opener.Open(ctx, o.outside)
	}()
	<-done
	o.explain()
	if o.err != nil && n.ctx.Err() == nil {
		n.stats.dialFailures.Add(1)
	}
	changed, state, failures := n.breaker.report(time.Now(), trial, o.err, n.ctx.Err() != nil)
	events := &n.config.Events
	if events.Opened == nil && (!changed || events.Breaker == nil) {
		return
	}
	o.outside(func() {
		defer func() { _ = recover() }() // the hooks are the user's, and the goroutine is not
		if events.Opened != nil {
			events.Opened(n.Address(), time.Since(began), o.err)
		}
		if changed && events.Breaker != nil {
			events.Breaker(n.Address(), state, failures)
		}
	})
}

// explain makes the error one that callers know.
func (o *opening) explain() {
	n := o.node
	switch {
	case o.err == nil:
	case n.ctx.Err() != nil:
		n.mu.Lock()
		o.err = n.refusal()
		n.mu.Unlock()
	case !known(o.err):
		o.err = fmt.Errorf("%w: %w", conn.ErrConnect, o.err)
	}
}

// deliver hands the connection, or the error, to the first in line.
func (o *opening) deliver() {
	n := o.node
	n.mu.Lock()
	n.opening--
	if !o.counted {
		n.pending++ // for the count that ends below
	}
	if o.err != nil {
		n.slots--
		n.line.grant(grant{err: o.err})
		n.openForWaiters()
		n.settled()
		n.mu.Unlock()
		return
	}
	fresh := &leased{Conn: o.conn, lastUse: now()}
	fresh.OnHalfway(func() { n.halfway(fresh) })
	n.open[fresh] = struct{}{}
	n.mu.Unlock()
	n.put(fresh)
}

// outside runs user code, which Close does not wait for.
func (o *opening) outside(run func()) {
	n := o.node
	n.mu.Lock()
	if o.counted {
		o.counted = false
		n.settled()
	}
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.closed {
			o.counted = true
			n.pending++
		}
	}()
	run()
}

// known reports whether an error of an opening says what it is.
func known(err error) bool {
	for _, sentinel := range []error{conn.ErrConnect, conn.ErrConnectTimeout, conn.ErrCredentials, conn.ErrClosed, msg.ErrUnauthorized} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// Await makes sure of a connection to a node whose last one failed, for callers who have
// other nodes to ask: an address where nobody answers goes on being tried, but keeps
// nobody longer than 100 ms.
func (n *Node) Await(ctx context.Context) error {
	if !n.Failing() {
		return nil
	}
	n.mu.Lock()
	busy := n.opening == 0 && n.slots >= n.config.MaxConnections
	n.mu.Unlock()
	if busy {
		return nil // connections exist, all in use
	}
	patience, cancel := context.WithTimeout(ctx, slowNodeWait)
	defer cancel()
	c, err := n.acquire(patience, wanted{})
	switch {
	case err == nil:
		n.put(c)
		return nil
	case ctx.Err() != nil, patience.Err() == nil:
		return err
	}
	return fmt.Errorf("%w: it takes longer than %v, and goes on", conn.ErrConnect, slowNodeWait)
}
