package node

import "time"

// reapLater arranges for the oldest idle connection to be closed when its time
// has come, so that none waits for the next request to be noticed. One timer
// serves all; putting a connection back does not touch it. The caller holds
// the lock.
func (n *Node) reapLater(after time.Duration) {
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
func (n *Node) reap() {
	n.mu.Lock()
	now := time.Now()
	old := 0
	for old < len(n.idle) && n.expired(n.idle[old], now) {
		old++
	}
	dead := append([]*leased(nil), n.idle[:old]...)
	n.idle = append(n.idle[:0], n.idle[old:]...)
	clear(n.idle[len(n.idle):cap(n.idle)])
	for _, c := range dead {
		n.freeSlot(c)
	}
	n.reaping = false
	if len(n.idle) > 0 {
		n.reapLater(n.idle[0].lastUse.Add(n.config.IdleTimeout).Sub(now))
	}
	n.mu.Unlock()
	n.closeAll(dead)
}

// expired reports whether a connection has been idle for too long, by the clock that
// stands still while the machine sleeps, or by the one that does not.
func (n *Node) expired(c *leased, now time.Time) bool {
	return idleFor(c.lastUse, now) >= n.config.IdleTimeout
}

// idleFor is the time since last, as the monotonic or the wall clock tells, whichever
// says more: the monotonic one does not count while the machine is suspended.
func idleFor(last, now time.Time) time.Duration {
	return max(now.Sub(last), now.Round(0).Sub(last.Round(0)))
}
