package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Hold stops the delivery of aggregates until Release: what is under way for
// them is dropped, what was delivered and is not committed is forgotten. They are
// still heard of; each costs one lane. Holding an aggregate again does nothing.
// The caller drops what it has buffered of them in the same step.
func (e *Engine) Hold(now time.Time, keys []msg.Key) {
	for _, key := range keys {
		before := e.lanes[key]
		if before != nil && before.phase == onHold || !e.follows(key) {
			continue
		}
		e.recent.take(key)
		e.stats.Held++
		if before == nil {
			l := e.addLane(key)
			l.phase, l.unheard = onHold, true
			continue
		}
		heard := *before
		e.expel(before)
		l := e.addLane(key)
		l.phase = onHold
		l.inherit(&heard)
		if l.commence.active {
			e.commencing++
		}
	}
	e.flow(now)
}

// inherit takes over what was heard of an aggregate whose deliveries are
// forgotten. The stored cursor is in step with the node as the delivered one was,
// unless another life began in between.
func (l *lane) inherit(before *lane) {
	l.shard, l.committed = before.shard, before.committed
	l.target, l.toEnd, l.force = before.target, before.toEnd, true
	l.listedDeleted, l.head, l.headTime, l.told = before.listedDeleted, before.head, before.headTime, before.told
	l.expects, l.commence, l.redo = before.expects, before.commence, before.redo
	l.expects.tries = 0
	l.suspect, l.verified = before.suspect || before.suspectRead, before.verified
	if !before.loaded {
		return
	}
	delivered, stored := before.cursor, before.committed
	if !delivered.Deleted {
		l.heard(delivered.Version)
	}
	if delivered.Life == stored.Life && delivered.Deleted == stored.Deleted {
		return
	}
	l.redo = l.redo || before.redoLife > stored.Life
	l.suspect, l.verified = true, 0
	l.expects.gone = true
}

// Release goes on with held aggregates from their stored cursors, in order and
// with nothing missing. Aggregates that are not held are passed over.
func (e *Engine) Release(now time.Time, keys []msg.Key) {
	for _, key := range keys {
		l := e.lanes[key]
		if l == nil || l.phase != onHold {
			continue
		}
		e.stats.Held--
		l.phase, l.loaded, l.force, l.unheard = idle, false, true, false
		if e.phase != Live {
			e.catch(l)
		}
		e.mark(l)
	}
	e.flow(now)
}

// Redo delivers an aggregate once more: a Reset, then its history from the first
// batch that can be read. Of a held one that happens once it is released, of one of
// which nothing was delivered there is nothing to reset.
func (e *Engine) Redo(now time.Time, key msg.Key) {
	if !e.follows(key) {
		return
	}
	l := e.lanes[key]
	if l == nil {
		l = e.addLane(key)
	}
	l.redo, l.force = true, true
	e.mark(l)
	e.flow(now)
}

// redone carries Redo out at the beginning of a pass.
func (e *Engine) redone(l *lane) {
	if l.redo = false; l.cursor.IsZero() || l.void() {
		return
	}
	delivered := l.cursor.Version
	e.announceReset(l)
	l.redoLife = l.cursor.Life
	l.beginAnew()
	if e.phase != Live {
		e.catch(l)
		l.catchTarget = max(l.catchTarget, delivered)
	}
}

// hearsHeld notes whether the stored cursor of a held aggregate was in step with
// the node until the hint that is about to be folded.
func (l *lane) hearsHeld(sh *shard) {
	if l.unheard && sh.settled && sh.continuous {
		l.verified = sh.epoch
	}
	l.unheard = false
}

// latest is the further one of a cursor that was looked up and of one that was
// committed meanwhile.
func latest(loaded, committed checkpoint.Cursor) checkpoint.Cursor {
	if committed.Compare(loaded) > 0 {
		return committed
	}
	return loaded
}
