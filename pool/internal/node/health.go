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

// vigil is the wait for an answer on one connection.
type vigil struct {
	timer *time.Timer
	check *healthCheck // once half of the timeout has passed; guarded by the node's lock
}

// healthCheck is the question whether the node answers at all, shared by all requests that
// are halfway meanwhile.
type healthCheck struct {
	answered bool // guarded by the node's lock
}

// beginVigil begins the wait for an answer.
func (n *Node) beginVigil(c *leased, timeout time.Duration) {
	if c.vigil != nil {
		c.vigil.timer.Reset(timeout / 2)
		return
	}
	v := new(vigil)
	v.timer = time.AfterFunc(timeout/2, func() { n.halfway(v) })
	c.vigil = v
}

// endVigil ends the wait, and reports whether the node was asked meanwhile and has not
// answered.
func (n *Node) endVigil(c *leased) (silent bool) {
	v := c.vigil
	if v.timer.Stop() {
		return false
	}
	c.vigil = nil // the timer may still be at work on it
	n.mu.Lock()
	defer n.mu.Unlock()
	return v.check != nil && !v.check.answered
}

// halfway begins a health check, or joins the one under way.
func (n *Node) halfway(v *vigil) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if n.check == nil {
		n.check = new(healthCheck)
		n.pending++
		go n.checkHealth(n.check)
	}
	v.check = n.check
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
