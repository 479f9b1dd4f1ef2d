package pool

import (
	"context"
	"fmt"
	"time"
)

// soundingPatience is how long a search waits for a node whose last connection
// failed, before it goes on.
const soundingPatience = 100 * time.Millisecond

// opening is a connection that is being opened in the background.
type opening struct {
	done chan struct{} // closed when it is open, and idle, or has failed
	err  error         // set before
}

// widen opens a connection in the background, one at a time and below the
// ceiling, or returns the one that is being opened; nil when there is none. After
// a connection has moved and served its request nobody waits for it: there will be
// one for each shard in use. The caller holds the lock.
func (n *node) widen() *opening {
	if n.background != nil {
		return n.background
	}
	if n.closed || n.slots >= n.opts.MaxConnections {
		return nil
	}
	o := &opening{done: make(chan struct{})}
	n.background = o
	n.slots++
	go func() {
		defer close(o.done)
		c, err := n.reach(n.intake, n.life)
		if err == nil {
			err = n.adopt(c)
		}
		n.mu.Lock()
		n.background = nil
		n.mu.Unlock()
		if o.err = err; err != nil {
			n.freeSlot()
			return
		}
		n.put(c)
	}()
	return o
}

// sound makes sure of a connection to a node whose last one failed. An address
// where nobody answers goes on being tried, for whoever asks next, but keeps the
// caller no longer than soundingPatience, who has other nodes to ask.
func (n *node) sound(ctx context.Context) error {
	n.mu.Lock()
	if len(n.idle) > 0 {
		n.mu.Unlock()
		return nil
	}
	o := n.widen()
	n.mu.Unlock()
	if o == nil {
		return nil
	}
	patience := time.NewTimer(soundingPatience)
	defer patience.Stop()
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ended(ctx)
	case <-patience.C:
		return fmt.Errorf("%w: it takes longer than %v, and goes on", ErrConnect, soundingPatience)
	}
}
