package node

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Watch opens a watch on a connection of its own, beyond MaxConnections. The connection
// is opened under the pool's limits: a caller who leaves does not end it for nothing, the
// breaker hears of it.
func (n *Node) Watch(ctx context.Context, req *msg.WatchRequest, recorder Recorder) (*conn.Watch, conn.Attempt) {
	w, a := n.watch(ctx, req)
	recorder.Record(a)
	return w, a
}

func (n *Node) watch(ctx context.Context, req *msg.WatchRequest) (w *conn.Watch, a conn.Attempt) {
	n.mu.Lock()
	if n.closed {
		defer n.mu.Unlock()
		return nil, conn.Unsent(n.Address(), req.RequestType(), n.refusal())
	}
	n.pending++
	n.mu.Unlock()
	defer n.done()

	c, err := n.openBeside(ctx)
	if err != nil {
		return nil, conn.Unsent(n.Address(), req.RequestType(), err)
	}
	opened := false
	defer func() {
		if !opened {
			c.Close()
		}
	}()
	stop := context.AfterFunc(n.ctx, func() { c.Kill(conn.ErrClosed) })
	defer stop()
	w, a = c.Watch(ctx, req, n.config.RequestTimeout, n.config.WatchLiveness)
	if a.Err != nil {
		return nil, a
	}
	if err := n.register(w); err != nil {
		a.Err = err
		return nil, a
	}
	opened = true
	return w, a
}

// register counts a watch as long as it lasts.
func (n *Node) register(w *conn.Watch) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return n.refusal()
	}
	n.watches[w] = struct{}{}
	n.pending++
	w.OnEnd(func(cause error) {
		n.mu.Lock()
		delete(n.watches, w)
		n.settled()
		n.mu.Unlock()
		if n.config.Events.WatchEnded != nil {
			n.config.Events.WatchEnded(n.Address(), cause)
		}
	})
	return nil
}

// openBeside opens a connection in the background, beside those of MaxConnections. A caller
// that leaves early leaves it to the breaker.
func (n *Node) openBeside(ctx context.Context) (*conn.Conn, error) {
	trial, err := n.breaker.admit(time.Now())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	n.mu.Lock()
	n.pending++
	n.mu.Unlock()
	o := newOpening(n)
	results := make(chan *opening, 1)
	go func() {
		defer func() {
			n.mu.Lock()
			if o.counted {
				n.settled()
			}
			n.mu.Unlock()
			results <- o
		}()
		o.open(n.ctx, trial)
	}()
	select {
	case <-results:
		return o.conn, o.err
	case <-ctx.Done():
	}
	go func() {
		if <-results; o.err == nil {
			o.conn.Close()
		}
	}()
	if ctx.Err() == context.DeadlineExceeded && time.Since(began) >= shortestEvidence {
		n.breaker.noteSlow()
	}
	return nil, fmt.Errorf("%w: waiting for a connection that is being opened: %w", conn.ErrConnect, conn.Ended(ctx))
}
