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
	now := now()
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
		n.reapLater(n.config.IdleTimeout - now.since(n.idle[0].lastUse))
	}
	n.mu.Unlock()
	n.closeAll(dead)
}

// expired reports whether a connection has been idle for too long.
func (n *Node) expired(c *leased, now moment) bool {
	return now.since(c.lastUse) >= n.config.IdleTimeout
}

// moment is a time as two clocks tell it: the monotonic one, which stands still while the
// machine is suspended, and the wall clock, which can be set back.
type moment struct {
	monotonic time.Time
	wall      time.Time // without the reading of the monotonic clock
}

func now() moment {
	t := time.Now()
	return moment{t, t.Round(0)}
}

// since is the time since another moment, as the clock tells that says more.
func (m moment) since(last moment) time.Duration {
	return max(m.monotonic.Sub(last.monotonic), m.wall.Sub(last.wall))
}
