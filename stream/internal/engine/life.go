package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// gone ends the life of an aggregate that the leader does not have.
func (e *Engine) gone(now time.Time, l *lane) {
	leader := l.read.leader // to be asked again: a node that lags may still show what ended
	if !l.heard.expects.gone {
		if l.pending() {
			e.endPass(l) // what was heard meanwhile may be what is not shown yet
			return
		}
		if e.doubts(now, l, l.known.alive()) {
			l.read.leader = leader
			return
		}
	}
	if e.opts.LiveOnly && l.origin != nil {
		e.sinceStart(l)
	}
	if sh := e.shardOf(l.shard); l.origin != nil && sh != nil {
		e.release(l)
		l.read, l.heard.force = read{}, false
		e.markAbsent(sh, l)
		return
	}
	e.endLife(l)
	if e.doubts(now, l, false) {
		l.read.leader = leader
		return
	}
	e.endPass(l)
}

// endLife announces that the aggregate is deleted, once.
func (e *Engine) endLife(l *lane) {
	if l.heard.listedDeleted {
		// The list's word stands, so nothing was heard since that asks for a read;
		// one could show the aggregate alive.
		l.heard.listedDeleted, l.work.dirty, l.heard.force = false, false, false
	}
	l.known.floor, l.work.redo = 0, false
	l.heard.expects.onLifeEnded()
	if !l.known.alive() {
		return
	}
	c := l.known.cursor
	c.Deleted = true
	e.announce(l, Change{Kind: Deleted, Cursor: c})
}

// otherLife begins anew: what stands at the cursor is not what was delivered. After
// a Deleted nothing is void that was not void before, so nothing is announced.
func (e *Engine) otherLife(l *lane) {
	if !l.known.cursor.Deleted {
		e.announceReset(l)
	}
	e.beginAnew(l)
	e.again(l)
}

// beginAnew has the lane read from the start of the present life.
func (e *Engine) beginAnew(l *lane) {
	l.read, l.known.floor = l.read.fromLifeStart(), 0
}

func (e *Engine) announceReset(l *lane) {
	next := l.known.cursor.Life + 1
	l.known.below, l.known.onTrust = false, false
	if l.work.redo {
		l.work.redo, l.known.redoLife = false, next // whatever this Reset is for
	}
	l.heard.expects.onLifeStarted()
	e.announce(l, Change{Kind: Reset, Cursor: checkpoint.Cursor{Life: next}})
}

// trimmed continues at the floor. Without a doubt about the life only the versions
// between are lost; otherwise the life itself must be doubted. The loss is announced
// with the batch at the floor, whose anchor the cursor keeps.
func (e *Engine) trimmed(l *lane, floor uint64) {
	k := &l.known
	if k.floor == floor && !k.anchored() && k.cursor.Version == floor-1 && k.trusted() {
		// Announced already: a hole follows the floor.
		l.read.stage, l.read.skipFrom = skip, floor
		e.again(l)
		return
	}
	lost := k.cursor.Version + 1
	switch {
	case !l.read.compares(k, e.opts.ContinueOnly) || k.cursor.Deleted:
		// Nothing proves that what follows a delete continues what was deleted.
		lost = 1
	case e.continuous(l):
	case lost == floor && k.anchored() && !k.suspect:
		// A Truncated may have ended here. Until the batch at the floor is compared
		// nothing is known of its life, whatever happens to that read.
		l.read = l.read.behindFloor(floor)
		l.read.resumes = true
		e.again(l)
		return
	default:
		e.announceReset(l)
		lost = 1
	}
	k.floor, k.onTrust = floor, lost > 1
	k.verified, k.suspect = l.read.epoch, l.heard.lifeSince
	l.read = l.read.behindFloor(floor)
	if lost < floor {
		l.read.lost = lost
	}
	e.again(l)
}

// passFloor announces what was lost below a floor, of which the page was read; false if
// the pass has begun anew.
func (e *Engine) passFloor(l *lane, v *verdict) bool {
	k, r := &l.known, &v.read
	switch {
	case r.resumes:
		same := v.anchor == k.cursor.Anchor
		if !same {
			e.announceReset(l)
			r.lost = 1
		}
		k.floor, k.verified, k.suspect = l.read.skipFrom, l.read.epoch, l.heard.lifeSince
		k.below, k.onTrust = same, same // a Truncated ended here, and its life goes on
	case !k.trusted():
		l.read = l.read.anew()
		e.again(l)
		return false
	}
	if r.lost > 0 && r.lost < k.floor {
		cursor := checkpoint.Cursor{Life: k.nextLife(), Version: k.floor - 1, Anchor: v.anchor}
		e.announce(l, Change{Kind: Truncated, From: r.lost, To: k.floor - 1, Cursor: cursor})
		k.below = v.anchor != checkpoint.Anchor{}
	}
	r.lost, r.resumes = 0, false
	return true
}

// continuous reports whether the lane's aggregate was watched without a break
// since its cursor was known to be in step, and neither created nor deleted. Another
// node's answer may be ahead of the notifications of the watched one.
func (e *Engine) continuous(l *lane) bool {
	sh, k := e.shardOf(l.shard), &l.known
	if sh != nil && sh.early && l.heard.since > k.cursor.Version+1 {
		return false
	}
	return l.read.watched && sh != nil && sh.up() && !k.suspect && k.verified != 0 && k.verified == sh.epoch
}
