package engine

import (
	"time"
)

// ReadFailed answers Read.
func (e *Engine) ReadFailed(now time.Time, id uint64, f Failure) {
	l, ours := e.reads[id]
	delete(e.reads, id)
	if l == nil {
		if ours || e.lagChecked(now, id, f.Kind == BelowFloor || f.Kind == TooLarge) {
			e.pump(now)
		}
		return
	}
	l.phase, l.watched = idle, e.watches(l, f.Node)
	switch f.Kind {
	case Permanent:
		e.fail(f.Err)
		return
	case Unavailable, Deposed:
		e.unavailable(now, l)
	case NotFound:
		e.missing(now, l, f.Authoritative)
	case BelowFloor:
		e.belowFloor(now, l, f)
	case Silent:
		e.unanswered(now, l, false)
	case TooLarge:
		e.unanswered(now, l, true)
	}
	e.pump(now)
}

// unavailable pauses all reads: the node cannot be asked, whatever the lane. A
// leader that is missed holds up only who needs it.
func (e *Engine) unavailable(now time.Time, l *lane) {
	if l.leader {
		e.retry(now, l)
		return
	}
	if e.readPace.ready(now) {
		e.readPace.failed(now, e.opts.NewBackoff)
	}
	e.anew(l)
}

// missing ends the life of an aggregate the leader does not have.
func (e *Engine) missing(now time.Time, l *lane, authoritative bool) {
	if !authoritative {
		e.askLeader(now, l)
		return
	}
	if !l.expects.gone && e.doubts(now, l) {
		return
	}
	e.commenced(l)
	e.endLife(l)
	if !e.doubts(now, l) {
		e.endPass(now, l)
	}
}

func (e *Engine) belowFloor(now time.Time, l *lane, f Failure) {
	switch {
	case l.stage == confirm || l.stage == probe:
		e.floorShown(now, l, f)
	case l.stage == skip:
		e.anew(l) // trimmed meanwhile
	case l.stage == succeed:
		e.goOn(l)
	case l.commence.active && f.Authoritative:
		// What the lane was to begin behind is trimmed: all that is left is new.
		e.commenced(l)
		e.anew(l)
	case !f.Authoritative:
		// A node that lags may name the floor of an earlier life.
		e.askLeader(now, l)
	default:
		e.readPace.succeeded(now, e.opts.Healthy)
		e.trimmed(now, l, f.Minimum)
	}
}

// floorShown judges the floor as the answer to a confirm or a probe: where it has
// passed the cursor it stands for the batch there.
func (e *Engine) floorShown(now time.Time, l *lane, f Failure) {
	sameLife := l.floored() && f.Minimum >= l.floor && (!l.bridged || !l.suspect)
	switch {
	case e.unfounded(l) && f.Minimum <= l.cursor.Version:
		// The floor was above the cursor: only a recreation takes it back.
		e.otherLife(now, l, f.Authoritative)
	case l.stage == confirm && sameLife:
		e.deliverHeld(now, l, f.Authoritative)
	case l.stage == probe && f.Minimum <= l.probed && (sameLife || l.to.Value == 0 && !e.unfounded(l)):
		e.answers(now, l)
	default:
		// Trimmed meanwhile, or created or deleted since the floor was named, so
		// that it may be another life's.
		e.anew(l)
	}
}

// anew begins the pass anew at the cursor.
func (e *Engine) anew(l *lane) {
	l.stage, l.held, l.force = resume, heldPage{}, true
	e.again(l)
}

// unfounded reports whether the cursor stands at no batch, but below a floor.
func (e *Engine) unfounded(l *lane) bool { return e.compares(l) && !l.anchored() }

// unanswered narrows the range of a read that the node did not answer, or whose
// answer is too large for this client, down to one version; a single version
// that stays unanswered is unreadable. So may be the batch at the cursor, if it
// is another one by now. The node itself may be what is silent: a probe tells.
func (e *Engine) unanswered(now time.Time, l *lane, tooLarge bool) {
	switch {
	case l.stage == succeed:
		e.goOn(l)
		return
	case l.stage == probe && l.to.Value == 0:
		e.unavailable(now, l)
		return
	case l.stage == confirm || l.stage == probe:
		e.probe(l, l.cursor.Version, tooLarge)
		return
	}
	if version, ok := l.single(); ok {
		e.probe(l, version, tooLarge)
		return
	}
	if tooLarge && l.window > 1 {
		l.window /= 2
	} else {
		l.window = 1
	}
	if l.stage == resume && l.window == 1 {
		// With the cursor's own batch in it the page holds two: leave that out.
		if l.from > 1 {
			l.stage, l.skipFrom = skip, l.cursor.Version+1
		} else {
			l.stage = first
		}
	}
	l.beyond = l.beyond || l.openEnd
	l.openEnd, l.force = false, true
	e.release(l)
	if tooLarge {
		e.again(l)
		return
	}
	e.wait(now, l)
}

// single returns the one version the lane's read asked for beyond the cursor and
// beyond what was just seen to hold nothing.
func (l *lane) single() (uint64, bool) {
	if l.stage == first {
		return 1, true
	}
	low := max(l.from, l.emptyTo+1)
	if !l.to.Set || low != l.to.Value {
		return 0, false
	}
	return low, l.stage == skip || l.cursor.Version == 0 || l.cursor.Deleted || l.restart
}

// probe asks whether the node answers for the aggregate of a version that it did
// not answer for.
func (e *Engine) probe(l *lane, version uint64, tooLarge bool) {
	l.unanswered(version)
	if tooLarge && l.emptyTo == 0 {
		l.silent = l.patience() // asking again cannot help
	}
	l.stage = probe
	e.issue(l)
}

// patience is how many silences of a single version count. Version 1 is read by
// itself again and again where several lives are readable, and so has more
// chances to meet a bad network.
func (l *lane) patience() int {
	if l.probed == 1 {
		return 2 * silences
	}
	return silences
}

// unanswered begins to count the silences of another version.
func (l *lane) unanswered(version uint64) {
	if l.probed != version {
		l.probed, l.silent = version, 0
	}
}
