package pool

import "time"

// reapLater arranges for the oldest idle connection to be closed when its time
// has come, so that none waits for the next request to be noticed. One timer
// serves all; putting a connection back does not touch it. The caller holds
// the lock.
func (n *node) reapLater(after time.Duration) {
	if n.reaping || n.closed {
		return
	}
	n.reaping = true
	if n.reaper == nil {
		n.reaper = time.AfterFunc(after, n.reap)
		return
	}
	n.reaper.Reset(after)
}

// reap closes what has been idle for too long. The bottom of the stack is the
// oldest.
func (n *node) reap() {
	n.mu.Lock()
	now := time.Now()
	old := 0
	for old < len(n.idle) && n.expired(n.idle[old], now) {
		delete(n.open, n.idle[old])
		old++
	}
	dead := append([]*conn(nil), n.idle[:old]...)
	n.idle = append(n.idle[:0], n.idle[old:]...)
	clear(n.idle[len(n.idle):cap(n.idle)])
	n.reaping = false
	if len(n.idle) > 0 {
		n.reapLater(n.idle[0].idleSince.Add(n.opts.IdleTimeout).Sub(now))
	}
	n.mu.Unlock()
	for _, c := range dead {
		n.stats.discarded.Add(1)
		c.nc.Close()
		n.freeSlot()
	}
}

// expired reports whether a connection has been idle for too long.
func (n *node) expired(c *conn, now time.Time) bool {
	return now.Sub(c.idleSince) >= n.opts.IdleTimeout
}
