package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Hold stops the delivery of aggregates until Release: what is under way for
// them is dropped, what was delivered and is not committed is forgotten. Held
// aggregates are still heard of; each costs one lane. Holding an aggregate again
// does nothing. The caller drops what it has buffered of them in the same step.
//
// Versions that wait of them are not counted as unhandled.
func (e *Engine) Hold(now time.Time, keys []msg.Key) { e.hold(now, keys, false) }

// HoldPending is Hold of aggregates that the consumer is to handle all the same: what waits
// of them is counted as unhandled, unless SetAside names them.
func (e *Engine) HoldPending(now time.Time, keys []msg.Key) { e.hold(now, keys, true) }

func (e *Engine) hold(now time.Time, keys []msg.Key, pending bool) {
	for _, key := range keys {
		before := e.lanes[key]
		if before != nil && before.work.phase == onHold || !e.follows(key) {
			continue
		}
		e.recent.take(key)
		e.stats.Held++
		if before == nil {
			l := e.addLane(key)
			l.work.phase, l.work.unheard = onHold, true
			l.work.pending, l.work.aside = pending, e.isAside(key)
			continue
		}
		heard := *before
		e.expel(before)
		l := e.addLane(key)
		l.work.phase = onHold
		l.work.pending, l.work.aside = pending, e.isAside(key)
		l.inherit(&heard)
		if l.origin != nil {
			e.starter.open++
		}
	}
	e.flow(now)
}

// inherit takes over what was heard of an aggregate whose deliveries are
// forgotten. The stored cursor is in step with the node as the delivered one was,
// unless another life began in between.
func (l *lane) inherit(before *lane) {
	l.shard, l.since, l.known.committed = before.shard, before.since, before.known.committed
	l.heard = before.heard
	l.heard.force, l.heard.expects.rechecks = true, 0
	l.origin, l.work.redo = before.origin, before.work.redo
	l.work.placed = before.known.loaded || before.work.placed
	l.known.suspect, l.known.verified = before.known.suspect || before.heard.lifeSince, before.known.verified
	if l.work.redo {
		l.known.redoLife = before.known.redoLife
	}
	if !before.known.loaded {
		return
	}
	delivered, stored := before.known.cursor, before.known.committed
	if !delivered.Deleted {
		l.heard.atLeast(delivered.Version)
	}
	if delivered.Life == stored.Life && delivered.Deleted == stored.Deleted {
		return
	}
	if !l.work.redo && before.known.redoLife > stored.Life {
		// Unless its Reset turns out to be stored, see Loaded.
		l.work.redo, l.known.redoLife = true, before.known.redoLife
	}
	l.known.suspect, l.known.verified = true, 0
	l.heard.expects.gone = true
}

// SetAside names the aggregates that the consumer does not handle until somebody decides, in
// place of those named before.
func (e *Engine) SetAside(keys []msg.Key) {
	before := e.aside
	e.aside = make(map[msg.Key]struct{}, len(keys))
	for _, key := range keys {
		e.aside[key] = struct{}{}
		e.setAside(key, true)
	}
	for key := range before {
		if !e.isAside(key) {
			e.setAside(key, false)
		}
	}
}

func (e *Engine) isAside(key msg.Key) bool {
	_, aside := e.aside[key]
	return aside
}

func (e *Engine) setAside(key msg.Key, aside bool) {
	if l := e.lanes[key]; l != nil && l.work.phase == onHold && l.work.aside != aside {
		e.touch(l)
		l.work.aside = aside
	}
}

// Release goes on with held aggregates from their stored cursors, in order and
// with nothing missing. Aggregates that are not held are passed over.
func (e *Engine) Release(now time.Time, keys []msg.Key) {
	for _, key := range keys {
		l := e.lanes[key]
		if l == nil || l.work.phase != onHold {
			continue
		}
		e.stats.Held--
		if l.work.unheard {
			l.work.expelled = true
			e.forget(l) // it rests as it did
			continue
		}
		l.work.phase, l.known.loaded, l.heard.force = idle, false, true
		l.heard.changed(0) // what was heard of may be a floor, or below what was dropped
		if l.origin == nil {
			e.sinceStart(l)
		}
		if e.phase != Live {
			e.catch(l)
		}
		e.mark(l)
	}
	e.flow(now)
}

// CatchUp has another CaughtUp follow, behind everything that is at work now.
func (e *Engine) CatchUp(now time.Time) {
	if e.stopped {
		return
	}
	if e.phase == Live {
		e.settle(CatchingUp, 0, nil)
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
		if e.opts.LiveOnly {
			l.origin = new(origin) // without a cursor it has nothing to repeat
			e.starter.open++
		}
	}
	l.work.redo, l.work.unheard, l.heard.force, l.heard.repeats = true, false, true, true
	l.known.redoLife = 0 // a wish of its own, whatever is stored
	e.mark(l)
	e.flow(now)
}

// redone carries Redo out at the beginning of a pass.
func (e *Engine) redone(l *lane) {
	if l.known.cursor.IsZero() || l.known.void() {
		l.work.redo = false
		return
	}
	delivered := l.known.cursor.Version
	e.announceReset(l)
	e.beginAnew(l)
	if e.phase != Live {
		e.catch(l)
		l.work.catchTarget = max(l.work.catchTarget, delivered)
	}
}

// hearsHeld notes whether the stored cursor of a held aggregate was in step with
// the node until the hint that is about to be folded.
func (l *lane) hearsHeld(sh *shard) {
	if l.work.unheard && sh.settled && sh.continuous {
		l.known.verified = sh.epoch
	}
	l.work.unheard = false
}
