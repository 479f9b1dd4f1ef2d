package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// doubts are the waits before an aggregate is read again that does not show what
// was heard of. On a pair of the reference server a leader's notification can be
// ahead of its own reads, by up to half a second: whoever believed the first
// answer would forget the change. But what was heard of may never show, because
// hints merge versions of two lives, so it is believed in the end.
var doubts = [...]time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second, 3 * time.Second}

const (
	// holdsUp is how many doubts CaughtUp waits for.
	holdsUp = 2
	// reviews is how often what began is looked at again: after the longest two of
	// those waits, when the node shows what it notified. Before that it may show the
	// old and the new by turns, and what was right would seem to be wrong.
	reviews = 2
)

// expectation is what notifications have told of a lane and no read has shown.
type expectation struct {
	version    uint64
	gone, born bool // deleted, created
	// twice: the life that begins may have been deleted, too.
	twice bool
	// after is the version written after the delete, as far as can be told.
	after       uint64
	wrote, went uint64 // the frames of the last write and of the last delete
	tries       int
	// again is how often more is to be looked at than what is named here: the life
	// that began, or a floor.
	again int
	floor uint64 // heard of
}

// expect takes in a notification of a frame. A frame does not tell whether a
// delete came before or after the rest of it.
func (x *expectation) expect(n *msg.Notification, frame uint64) {
	switch n.Operation {
	case msg.OpWrite:
		x.version, x.wrote = max(x.version, n.To.Or(0)), frame
		if x.gone {
			x.after = max(x.after, n.To.Or(0))
		}
	case msg.OpDelete:
		x.twice = x.twice || x.gone || x.born
		x.gone, x.went = true, frame
		if x.wrote == frame {
			x.after = x.version
		} else {
			x.after = 0
		}
	case msg.OpCreate:
		x.twice = x.twice || x.gone && x.went == frame
		x.born = true
	case msg.OpTrimStart:
		x.floor = max(x.floor, n.KeepFrom.Or(0))
		return
	default:
		return
	}
	x.tries = 0
}

// passes reports whether something was heard of that takes an unreadable batch away.
func (x *expectation) passes(unreadable uint64) bool {
	if x.floor > unreadable {
		x.floor, x.again = 0, reviews
	}
	return x.gone || x.born || x.again > 0
}

// ended takes the end of a life for what was to be shown.
func (x *expectation) ended() { x.gone, x.twice, x.version, x.after = false, false, x.after, 0 }

// began takes the beginning of another life for it.
func (x *expectation) began() { x.gone, x.twice, x.born = x.twice, false, false }

// behind takes what is shown behind the end of a life, announced or only heard of,
// for the beginning of another one. It may still be the one that ended, with more
// of it than was delivered, so it is looked at again until the node must show what
// it has notified.
func (x *expectation) behind(announced bool) {
	if x.gone || announced && (x.born || x.version > 0) {
		x.again = reviews
	}
	x.began()
}

// met reports whether the cursor shows what was heard of. Behind a Deleted any write
// is one of another life, whatever its version.
func (x *expectation) met(c *checkpoint.Cursor) bool {
	return !x.gone && !x.born && x.version <= c.Version && (x.version == 0 || !c.Deleted)
}

// doubts reports whether the lane's aggregate is to be looked at again, and has
// it wait for that.
func (e *Engine) doubts(now time.Time, l *lane) bool {
	x := &l.expects
	if l.pending() {
		return false // more was heard meanwhile, and is looked for at once
	}
	wait := time.Duration(0)
	switch {
	case !x.met(&l.cursor) && x.tries < len(doubts):
		wait = doubts[x.tries]
		x.tries++
	case x.again > 0:
		wait = doubts[len(doubts)-x.again]
		x.again--
	default:
		*x = expectation{}
		return false
	}
	e.release(l)
	if l.leader {
		e.led(l)
	}
	l.stage, l.held, l.emptyTo, l.leader = resume, heldPage{}, 0, false
	l.openEnd, l.beyond, l.succeeded, l.continued, l.force = false, false, false, false, true
	l.phase, l.doubting = waiting, true
	l.wakeAt = now.Add(wait)
	e.waiting[l] = struct{}{}
	if wait > doubts[holdsUp-1] {
		e.caught(l)
	}
	return true
}

// undoubted wakes a lane that waits only because of a doubt: something new was
// heard of it.
func (e *Engine) undoubted(l *lane) {
	if l.doubting {
		delete(e.waiting, l)
		e.enqueue(l)
	}
}

// succession judges what stands at and behind the last batch of a life that
// ended. A recreation that goes on counting writes behind it, one that does not
// puts something else in its place; where neither is so, the node still shows
// what was deleted, and that must not be delivered as the next life.
func (e *Engine) succession(now time.Time, l *lane, p *Page) {
	batches, anchors, ok := e.trust(p, l.from, l.to)
	switch {
	case !ok || len(batches) != 1 || p.Next.Set || anchors[0] != l.cursor.Anchor:
		l.continued = ok && len(batches) > 0 && anchors[0] == l.cursor.Anchor
		e.goOn(l)
	case l.to.Set && l.target > l.to.Value:
		// A hole: versions jump. Look further, ever wider.
		l.emptyTo, l.window = l.to.Value, saturate(l.window, l.window)
		e.again(l)
	case l.to.Set && l.endUnknown():
		l.openEnd = true
		e.again(l)
	default:
		l.stage = resume
		if !e.doubts(now, l) {
			e.endPass(now, l)
		}
	}
}

// goOn reads the life behind the one that ended from its start.
func (e *Engine) goOn(l *lane) {
	l.succeeded = true
	l.emptyTo, l.openEnd, l.window = 0, false, 0
	e.anew(l)
}
