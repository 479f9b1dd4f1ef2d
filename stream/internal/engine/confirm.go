package engine

import (
	"time"
)

// skipped holds a page that was read behind the cursor without it. Between the
// read that verified the cursor and this one the aggregate may have begun
// another life, so nothing of the page is delivered before another look at the
// cursor's batch.
func (e *Engine) skipped(now time.Time, l *lane, p *Page) {
	batches, _, ok := e.trust(p, l.from, l.to)
	if !ok {
		e.distrust(now, l)
		return
	}
	if len(batches) == 0 {
		if p.Next.Set && p.Next.Value > l.skipFrom {
			l.skipFrom = p.Next.Value
			e.again(l)
			return
		}
		e.pageDone(now, l, 0, p.Next, l.to, p.Authoritative)
		return
	}
	l.held = heldPage{batches: append(l.held.batches[:0], batches...), next: p.Next, to: l.to}
	l.stage = confirm
	e.issue(l)
}

// confirmed delivers the held page if the cursor's batch is still there.
func (e *Engine) confirmed(now time.Time, l *lane, p *Page) {
	if l.floored() {
		// The floor is gone: only a recreation takes it away.
		e.otherLife(now, l, p.Authoritative)
		return
	}
	if !e.atCursor(l, p) {
		e.otherLife(now, l, p.Authoritative)
		return
	}
	e.deliverHeld(now, l, p.Authoritative)
}

// atCursor reports whether a page read at the cursor's version alone shows the
// cursor's batch.
func (e *Engine) atCursor(l *lane, p *Page) bool {
	if l.cursor.Version == 1 {
		_, anchor, ok := lastAt(p, 1)
		return ok && anchor == l.cursor.Anchor
	}
	batches, anchors, ok := e.trust(p, l.from, l.to)
	return ok && len(batches) == 1 && anchors[0] == l.cursor.Anchor
}

func (e *Engine) deliverHeld(now time.Time, l *lane, authoritative bool) {
	held := l.held
	l.held = heldPage{}
	page := Page{Batches: held.batches, Next: held.next}
	batches, anchors, _ := e.trust(&page, l.skipFrom, held.to)
	e.verify(l)
	e.deliver(l, batches, anchors)
	e.pageDone(now, l, len(batches), held.next, held.to, authoritative)
}

// probed judges what a probe answered. Where it asked for the cursor's batch,
// that must be there: behind another life's cursor nothing is unreadable yet.
func (e *Engine) probed(now time.Time, l *lane, p *Page) {
	if l.to.Value != 0 && !e.atCursor(l, p) {
		e.otherLife(now, l, p.Authoritative)
		return
	}
	e.answers(now, l)
}

// answers counts a silence: the node answers for this aggregate, so the single
// batch that stayed unanswered is what it cannot send.
func (e *Engine) answers(now time.Time, l *lane) {
	l.silent++
	if l.silent >= silences {
		e.park(now, l, l.probed)
		return
	}
	e.retry(now, l)
}

// park announces the batch as unreadable, once, and lets the lane rest until
// its life changes, a trim passes the batch, or the shard is reconciled.
func (e *Engine) park(now time.Time, l *lane, version uint64) {
	if l.unreadable != version {
		l.unreadable = version
		e.emit(Command{Kind: Deliver, Changes: []Change{{Kind: Unreadable, Key: l.key, Version: version}}})
	}
	e.release(l)
	l.held, l.stage = heldPage{}, resume
	l.dirty = false
	l.phase = parked
	e.stats.Parked++
	e.caught(l)
	if l.suspectRead || l.listedDeleted || l.trimRead > version {
		l.force = true
		e.enqueue(l) // its life or its floor changed meanwhile
	}
}
