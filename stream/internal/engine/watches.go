package engine

import "time"

// Watch is one watch of a shard, as it is now.
type Watch struct {
	Shard uint64
	// Node is where it is open; empty while it is not.
	Node string
	// Leads: the node said so when it was asked last.
	Leads bool
	// Heard is when its last frame came; zero while it is not open.
	Heard time.Time
	// Opened counts how often it was opened.
	Opened uint64
}

// Watches returns all watches, by shard.
func (e *Engine) Watches() []Watch {
	var out []Watch
	for _, sh := range e.shards {
		for part := range sh.links {
			w := Watch{Shard: sh.id}
			if part < len(sh.opened) {
				w.Opened = sh.opened[part]
			}
			if l := &sh.links[part]; l.phase == acked {
				w.Node, w.Leads, w.Heard = l.node, l.leads, l.lastFrame
			}
			out = append(out, w)
		}
	}
	return out
}

// Laggard is a follower that is known not to show something the leader does.
type Laggard struct {
	Shard uint64
	Node  string
	Since time.Time
}

// Laggard returns the watched follower that has lagged longest; false if none is known to lag.
func (e *Engine) Laggard() (found Laggard, lags bool) {
	for _, sh := range e.shards {
		since := sh.follow.behind
		if since.IsZero() || lags && !since.Before(found.Since) {
			continue
		}
		if node := sh.node(); node != "" {
			found, lags = Laggard{Shard: sh.id, Node: node, Since: since}, true
		}
	}
	return found, lags
}
