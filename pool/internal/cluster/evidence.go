package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// shortestSilence is how long a caller must have waited for an answer for its deadline
// to say something about the node.
const shortestSilence = 50 * time.Millisecond

// evidence is what an attempt says about the node, whatever becomes of the operation.
func (c *Cluster) evidence(ctx context.Context, m *member, a conn.Attempt) {
	if a.Err == nil || a.Answered {
		m.silent.Store(false)
		return
	}
	silent := a.Sent && (errors.Is(a.Err, conn.ErrRequestTimeout) ||
		ctx.Err() == context.DeadlineExceeded && a.Duration >= shortestSilence)
	if silent {
		m.silent.Store(true)
		if members := c.nodes(); len(members) > 1 && slices.Contains(members, m) {
			c.probeInBackground(m) // whose answer ends the silence
		}
	}
	switch {
	case ctx.Err() == context.Canceled && !silent: // that the caller has left says nothing
	case a.Applied == conn.AppliedUnknown && !errors.Is(a.Err, conn.ErrClosed):
		c.suspect(m)
	case silent, unreachable(a.Err):
		c.doubt(m)
	}
}
