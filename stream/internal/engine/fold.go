package engine

import (
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// fold turns a notification into what it says about its lane. Order and ranges
// inside a frame mean nothing: coalescing reorders operations and merges
// versions of two lives. Only "up to here, at least" and "was created or
// deleted" are kept.
func (e *Engine) fold(sh *shard, n *msg.Notification) {
	if !e.follows(n.Key) {
		return
	}
	e.stats.Notifications++
	if n.Operation == msg.OpWrite || n.Operation == msg.OpCreate {
		// Also if there is no room for the hint.
		sh.list.touch(n.Key)
		if e.mayLag() {
			sh.follow.hinted.add(n.Key)
		}
	}
	l := e.lanes[n.Key]
	if l == nil {
		if e.queued() >= e.opts.MaxLanes {
			// The hint is dropped; listing finds the aggregate again. The
			// hint may have been of a delete, so continuity ends here too.
			sh.overflowed, sh.continuous = true, false
			sh.live.lost(e.heardAt)
			e.stir(sh)
			return
		}
		l = e.addLane(n.Key)
		e.locate(sh, l)
		if sh.settled && sh.continuous {
			// The stored cursor was in step with the node until this hint.
			l.known.verified = sh.epoch
		}
	}
	if l.work.phase == onHold {
		l.hearsHeld(sh)
	}
	l.shard = sh.id
	if m := e.explicit[n.Key]; m != nil {
		m.home = sh.id
	}
	switch n.Operation {
	case msg.OpWrite:
		l.heard.listedDeleted = false
		l.heard.changed(n.To.Or(0))
		l.heard.wrote(n.From.Or(n.To.Or(0)))
		l.heard.force = l.heard.force || !n.To.Set
	case msg.OpCreate:
		l.heard.listedDeleted = false
		l.hearLife()
	case msg.OpDelete:
		l.hearLife()
	case msg.OpTrimStart:
		// As a rule the batch at the floor exists. Below the cursor a trim changes nothing,
		// but it may take an unreadable batch away.
		l.heard.atLeast(n.KeepFrom.Or(0))
		l.heard.trimSince = max(l.heard.trimSince, n.KeepFrom.Or(0))
		l.heard.force = l.heard.force || (l.work.phase == parked && n.KeepFrom.Or(0) > l.known.unreadable)
	default:
		return
	}
	l.heard.expects.notified(n, e.frames)
	if !sh.settled {
		e.catch(l)
	}
	e.mark(l)
}

// hearLife notes a create or delete.
func (l *lane) hearLife() {
	l.known.suspect, l.heard.lifeSince, l.heard.force = true, true, true
}

// addLane makes a lane, whose cursor is still to be looked up unless it came to
// rest lately.
func (e *Engine) addLane(key msg.Key) *lane {
	var l *lane
	if n := len(e.free); n > 0 {
		l, e.free = e.free[n-1], e.free[:n-1]
	} else {
		l = new(lane)
	}
	*l = lane{key: key, shard: noShard}
	if c, ok := e.recent.take(key); ok {
		l.setLoaded(c)
	}
	e.lanes[key] = l
	e.touch(l)
	return l
}

// addLoaded makes a lane whose stored cursor is at hand.
func (e *Engine) addLoaded(key msg.Key, c checkpoint.Cursor) *lane {
	l := e.addLane(key)
	l.setLoaded(c)
	return l
}

// mark notes that the lane has something to do and queues it unless it is
// working already.
func (e *Engine) mark(l *lane) {
	if l.since.IsZero() {
		l.since = e.heardAt
	}
	e.touch(l)
	l.work.dirty = true
	if l.work.phase == onHold {
		e.caught(l)
		return
	}
	if l.work.phase == parked && !l.heard.force && !l.heard.listedDeleted {
		e.caught(l) // more batches behind an unreadable one change nothing
		return
	}
	if l.work.phase == idle || l.work.phase == parked {
		e.enqueue(l)
	}
	e.undoubted(l)
}

// catch makes CaughtUp wait for the lane.
func (e *Engine) catch(l *lane) {
	if !l.work.catching {
		l.work.catching = true
		e.catching++
	}
	l.work.catchTarget = max(l.work.catchTarget, l.heard.target)
}

// catchAll makes it wait for whatever is at work, on shards that are well, too.
func (e *Engine) catchAll() {
	for _, l := range e.lanes {
		if l.work.phase != idle && l.work.phase != parked && l.work.phase != onHold {
			e.catch(l)
		}
	}
}

// reached ends that wait for a lane that goes on being written to, once it has
// delivered what is waited for. Only a read of the present subscription counts:
// an older one may have shown an earlier life, whose versions mean nothing.
func (e *Engine) reached(l *lane) {
	sh := e.shardOf(l.shard)
	if l.work.catchTarget > 0 && !l.heard.openEnded && !l.heard.expects.ofLife() && l.heard.agrees(&l.known) && l.known.cursor.Version >= l.work.catchTarget && sh != nil && l.read.epoch == sh.epoch {
		e.caught(l)
	}
}

// reachedEnd ends that wait for a lane of which nobody named the head: all that there
// was when the read was answered is delivered.
func (e *Engine) reachedEnd(l *lane) {
	h, sh := &l.heard, e.shardOf(l.shard)
	if h.openEnded && !h.expects.ofLife() && h.agrees(&l.known) && sh != nil && sh.epoch == l.read.epoch {
		e.caught(l)
	}
}

// caught ends that wait.
func (e *Engine) caught(l *lane) {
	if l.work.catching {
		l.work.catching, l.work.catchTarget = false, 0
		e.catching--
	}
}

// forgetRested drops the lane if nothing is lost by it.
func (e *Engine) forgetRested(l *lane) {
	if !l.rested() {
		return
	}
	e.caught(l)
	e.forget(l)
	e.recent.put(l.key, l.known.cursor)
	if len(e.free) < spares {
		e.free = append(e.free, l) // nothing else refers to a lane at rest
	}
}

// forget takes a lane out of what is counted and looked up. A look-up that is under way
// may have read an older cursor than the one that this lane has just committed; its
// answer for this key is not to be used.
func (e *Engine) forget(l *lane) {
	e.uncount(l)
	delete(e.lanes, l.key)
	if sh := e.shardOf(l.shard); sh != nil {
		sh.looking.outdate(l.key)
		return
	}
	for _, ld := range e.loads {
		ld.outdate(l.key)
	}
}
