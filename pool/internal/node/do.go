package node

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Recorder takes note of attempts.
type Recorder interface {
	// Record is called after each attempt, when its connection was given back.
	Record(conn.Attempt)
}

// Call is how a request is made.
type Call struct {
	Shard    Shard
	Timeout  time.Duration // 0: the RequestTimeout
	Recorder Recorder
}

// Do makes one request, and once more on a fresh connection if an idle connection
// turned out to be dead: lost inside the exchange, or silent until the timeout while the
// node was not. A request is repeated only if it changes no data, or if not one byte of it was handed to
// the network. Do returns the last attempt.
func (n *Node) Do(ctx context.Context, req msg.Request, call Call) (msg.Response, conn.Attempt) {
	if call.Timeout == 0 {
		call.Timeout = n.config.RequestTimeout
	}
	for try := 0; ; try++ {
		c, err := n.acquire(ctx, wanted{call.Shard, try == 0 && !req.RequestType().Mutates()})
		if err != nil {
			a := conn.Unsent(n.Address(), req.RequestType(), err)
			call.Recorder.Record(a)
			return nil, a
		}
		reused, began := c.reused, time.Now()
		resp, a := n.exchange(ctx, c, req, call.Shard, call.Timeout)
		if reused && idleDied(ctx, a) {
			// Its siblings have been idle as long: none is taken before it was tried.
			n.dropIdle(began)
		}
		call.Recorder.Record(a)
		if try > 0 || !a.Stale || ctx.Err() != nil || a.Sent && a.Operation.Mutates() {
			return resp, a
		}
		n.stats.retries.Add(1)
	}
}

// judge says of an attempt without an answer whose fault that is.
func (n *Node) judge(c *leased, began time.Time, a *conn.Attempt) {
	switch {
	case a.Err == nil || a.Answered:
	case errors.Is(a.Err, conn.ErrConnectionLost):
		a.Stale = c.reused
	case errors.Is(a.Err, conn.ErrRequestTimeout):
		a.NodeSilent = n.silentSince(c, began)
		a.Stale = c.reused && !a.NodeSilent
	}
}

// idleDied reports whether an attempt on a connection that was idle before ended for
// want of any answer.
func idleDied(ctx context.Context, a conn.Attempt) bool {
	switch {
	case a.Err == nil || a.Answered:
		return false
	case errors.Is(a.Err, conn.ErrConnectionLost), errors.Is(a.Err, conn.ErrRequestTimeout):
		return true
	}
	return a.Sent && ctx.Err() == context.DeadlineExceeded && a.Duration >= shortestEvidence
}
