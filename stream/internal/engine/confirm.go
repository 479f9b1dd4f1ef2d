package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
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
	if l.bridged && l.skipFrom == l.floor && (len(batches) == 0 || batches[0].Version != l.floor) {
		// As a rule the batch at a floor exists, and without it there is no saying
		// that what follows is of the same life.
		e.otherLife(now, l, p.Authoritative)
		return
	}
	if len(batches) == 0 && p.Next.Set && p.Next.Value > l.skipFrom {
		l.skipFrom = p.Next.Value
		e.again(l)
		return
	}
	// Nothing behind the cursor is no proof of its life either.
	l.held = heldPage{batches: append(l.held.batches[:0], batches...), next: p.Next, to: l.to}
	l.stage = confirm
	e.issue(l)
}

// confirmed delivers the held page if the cursor's batch is still there.
func (e *Engine) confirmed(now time.Time, l *lane, p *Page) {
	if e.atCursor(now, l, p) {
		e.deliverHeld(now, l, p.Authoritative)
	}
}

// atCursor judges a page read at the cursor's version alone; false when the
// lane goes on otherwise. Where the cursor stands below a floor, the floor was to
// be shown, not a page.
func (e *Engine) atCursor(now time.Time, l *lane, p *Page) bool {
	if e.unfounded(l) {
		e.otherLife(now, l, p.Authoritative)
		return false
	}
	var shown checkpoint.Anchor
	batches, anchors, ok := e.trust(p, l.from, l.to)
	if l.cursor.Version == 1 {
		_, shown, ok = lastAt(p, 1)
	} else if ok && len(batches) == 1 {
		shown = anchors[0]
	}
	switch {
	case !ok:
		e.distrust(now, l)
	case shown != l.cursor.Anchor:
		e.otherLife(now, l, p.Authoritative)
	default:
		return true
	}
	return false
}

func (e *Engine) deliverHeld(now time.Time, l *lane, authoritative bool) {
	held := l.held
	l.held = heldPage{}
	page := Page{Batches: held.batches, Next: held.next}
	batches, anchors, _ := e.trust(&page, l.skipFrom, held.to)
	e.deliver(l, batches, anchors)
	e.verify(l)
	e.pageDone(now, l, len(batches), held.next, held.to, authoritative)
}

// probed judges what a probe answered. Where it asked for the cursor's batch,
// that must be there: behind another life's cursor nothing is unreadable yet.
func (e *Engine) probed(now time.Time, l *lane, p *Page) {
	if e.unfounded(l) || l.to.Value != 0 {
		if !e.atCursor(now, l, p) {
			return
		}
	}
	e.answers(now, l)
}

// answers counts a silence: the node answers for this aggregate, so the single
// batch that stayed unanswered is what it cannot send.
func (e *Engine) answers(now time.Time, l *lane) {
	l.silent++
	if l.silent >= l.patience() {
		e.park(now, l, l.probed)
		return
	}
	e.retry(now, l)
}

// park announces the batch as unreadable, once, and lets the lane rest until
// its life changes, a trim passes the batch, or the shard is reconciled.
func (e *Engine) park(now time.Time, l *lane, version uint64) {
	l.held, l.stage = heldPage{}, resume
	if l.commence.active {
		// The batch to begin behind cannot be read: begin at the beginning.
		e.commenced(l)
		e.anew(l)
		return
	}
	if !l.leader && !l.agrees() && (e.opts.Followers || l.head < version) {
		// The node lags, or its life is another one than the leader's.
		e.askLeader(now, l)
		return
	}
	if !l.leader && !l.agrees() && l.anchored() && e.compares(l) {
		// The life listed may be another one all the same: whether the leader still
		// has the batch at the cursor is enough to know.
		l.leader, l.stage, l.probed = true, probe, version
		e.issue(l)
		return
	}
	if l.suspectRead || l.listedDeleted || l.trimRead > version {
		// Its life or its floor changed after the batch was asked for.
		l.force = true
		e.again(l)
		return
	}
	if l.unreadable != version {
		l.unreadable = version
		e.emit(Command{Kind: Deliver, Changes: []Change{{Kind: Unreadable, Key: l.key, Version: version}}})
	}
	if l.expects.passes(version) && e.doubts(now, l) {
		return
	}
	e.release(l)
	l.dirty, l.force = false, false
	l.phase = parked
	e.stats.Parked++
	e.caught(l)
}
