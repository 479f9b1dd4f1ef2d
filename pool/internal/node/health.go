package node

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// A request that is left unanswered has several possible causes: the connection is dead,
// which a fresh one mends; the request is slow; or the node is silent, where everything
// else that is asked would cost a timeout more. So when half of the timeout has passed the node
// is asked on a connection that serves nothing else.

// neverWritten is in the key of an aggregate that nobody writes.
var neverWritten = msg.IDFromUint64s(0x6c65616465722d70, 0x726f62652d6b6579)

// ProbeKey is the key of an aggregate that nobody writes, for questions whose answer is
// of no interest but that it comes.
var ProbeKey = msg.Key{Org: neverWritten, Type: neverWritten, Aggregate: neverWritten}

// healthCheck is the question whether the node answers at all, shared by all requests that
// are halfway meanwhile.
type healthCheck struct {
	began    time.Time
	answered bool // guarded by the node's lock
}

// halfway begins a health check for the request on a connection, or joins the one under way.
func (n *Node) halfway(c *leased) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if n.check == nil {
		n.check = &healthCheck{began: time.Now()}
		n.pending++
		go n.checkHealth(n.check)
	}
	c.check = n.check
}

// silentSince reports whether the node was asked since a request began on a connection, and
// has not answered.
func (n *Node) silentSince(c *leased, began time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return c.check != nil && !c.check.began.Before(began) && !c.check.answered
}

// checkHealth asks the node a question, to which every answer will do.
func (n *Node) checkHealth(check *healthCheck) {
	answered := false
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		check.answered, n.check = answered, nil
		n.settled()
	}()
	ctx, cancel := context.WithTimeout(n.ctx, n.config.RequestTimeout/2)
	defer cancel()
	c, err := n.openBeside(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	_, a := c.Do(ctx, &msg.DetailsRequest{Key: ProbeKey}, n.config.RequestTimeout)
	answered = a.Answered
}
