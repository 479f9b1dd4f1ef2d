package engine

import "time"

// While no watch stands, the node cannot be reached, whatever the shard. Then one
// link alone is tried at a time, and once it stands the others follow at once:
// many links trying at paces of their own would ask more often, and the last of
// them would come back long after the node.
//
// The load saved pays for asking sooner: an attempt that fails is repeated
// at the pace of NewReconnect, which need not grow far. Watches that stood and fell make that
// wait grow as for any link, or a node that accepts and drops would be hammered.

// disconnected reports whether no watch stands.
func (e *Engine) disconnected() bool { return len(e.acked) == 0 }

// planReconnect begins the wait before the next attempt, if no watch stands any more;
// stood tells that one did until now.
func (e *Engine) planReconnect(now time.Time, stood bool) {
	if e.disconnected() {
		e.openLater()
	}
	switch {
	case !e.reconnect.ready(now) || !e.dropped.ready(now) || !e.disconnected():
	case stood:
		e.dropped.failed(now, e.opts.NewBackoff)
	default:
		e.reconnect.failed(now, e.opts.NewReconnect)
	}
}

// reconnected lets all go on that waited for the node to answer again.
func (e *Engine) reconnected(now time.Time) {
	e.readPace.until = now
	e.wakeStalled(now)
	for _, sh := range e.shards {
		for part := range sh.links {
			if sh.links[part].phase == down {
				e.wantOpen(sh, part)
			}
		}
	}
}

// tickReconnect tries the link whose last attempt is longest ago.
func (e *Engine) tickReconnect(now time.Time) {
	if e.opening > 0 || e.toOpen.len() > 0 || !e.reconnect.ready(now) || !e.dropped.ready(now) {
		return
	}
	var at *shard
	next := 0
	for _, sh := range e.shards {
		for part := range sh.links {
			l := &sh.links[part]
			if at == nil || l.pace.failedAt.Before(at.links[next].pace.failedAt) {
				at, next = sh, part
			}
		}
	}
	if at != nil {
		e.open(now, at, next)
	}
}

// wakeReconnect considers the next attempt while no watch stands.
func (e *Engine) wakeReconnect(w *wake) {
	switch {
	case !e.disconnected() || e.opening > 0 || e.toOpen.len() > 0 || !e.watching():
	case e.reconnect.until.After(e.dropped.until):
		w.consider(e.reconnect.until)
	default:
		w.consider(e.dropped.until)
	}
}

// watching reports whether any shard has a link.
func (e *Engine) watching() bool { return e.links > 0 }
