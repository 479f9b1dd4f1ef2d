package engine

import "time"

// doubts are the waits before an aggregate is read again that does not show what
// was heard of. On a pair of the reference server a leader's notification can be
// ahead of its own reads, by up to half a second: whoever believed the first
// answer would forget the change. But what was heard of may never show, because
// hints merge versions of two lives, so it is believed in the end.
var doubts = [...]time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second, 3 * time.Second}

// caughtUpWaitsFor is how many doubts CaughtUp waits for.
const caughtUpWaitsFor = 2

// doubts reports whether the lane's aggregate is to be looked at again, and has
// it wait for that. untold: the leader shows an end that was not announced; CaughtUp
// waits for the announcement, however long the doubts last.
func (e *Engine) doubts(now time.Time, l *lane, untold bool) bool {
	x := &l.heard.expects
	if l.pending() {
		return false // more was heard meanwhile, and is looked for at once
	}
	wait := time.Duration(0)
	switch {
	case !x.shownBy(&l.known) && x.rechecks < len(doubts):
		wait = doubts[x.rechecks]
		x.rechecks++
	case x.rechecksLeft > 0:
		wait = doubts[len(doubts)-x.rechecksLeft]
		x.rechecksLeft--
	default:
		*x = expectation{}
		return false
	}
	e.release(l)
	if l.read.leader {
		e.takeLeadersWord(l)
	}
	l.read = l.read.next()
	l.read.begun = true
	l.work.doubting = true
	e.wait(l, now.Add(wait))
	if wait > doubts[caughtUpWaitsFor-1] && !untold {
		e.caught(l)
	}
	return true
}

// absence is for how long a leader must show nothing at a cursor to be believed, if the
// batch there was seen lately or a later one was notified: longer than a leader's reads
// were seen to be behind its notifications and what its follower shows.
const absence = time.Second

// doubtsAbsence reports whether the lane's aggregate, of which the leader shows nothing
// at the cursor, is to be looked at again, and has it wait for that. A create, a delete,
// or a list that names an earlier head tells of another life, and leaves no doubt.
func (e *Engine) doubtsAbsence(now time.Time, l *lane) bool {
	h, k, w := &l.heard, &l.known, &l.work
	switch {
	case k.suspect || h.lifeSince || h.expects.ofLife():
		return false
	case h.head != 0 && h.head <= k.cursor.Version && !h.agrees(k):
		return false
	case now.Sub(w.seen) >= absence && h.expects.version <= k.cursor.Version:
		return false
	case w.absentSince.IsZero():
		w.absentSince = now
	case now.Sub(w.absentSince) >= absence:
		w.absentSince = time.Time{}
		return false
	}
	e.release(l)
	l.read = l.read.anew()
	w.doubting = true
	wait := doubts[0]
	if now.Sub(w.absentSince) >= doubts[0] {
		wait = doubts[1]
	}
	e.wait(l, now.Add(wait))
	return true
}

// doubtList has a list's word that an aggregate is deleted believed only if no write is
// notified in time: batches of it were delivered since the list began, which may have
// been written since, or be those of a node that shows what is deleted.
func (e *Engine) doubtList(now time.Time, sh *shard, l *lane) {
	wait := absence
	if e.mayLag() {
		wait = max(wait, e.opts.MaxLag)
	}
	l.heard.doubtUntil, l.heard.listEpoch = now.Add(wait), sh.epoch
}

// doubtsList reports whether a list's word on the lane's aggregate is not believed yet,
// and has it wait for that. Where notifications were missed since, another list decides.
func (e *Engine) doubtsList(now time.Time, l *lane) bool {
	h, sh := &l.heard, e.shardOf(l.shard)
	if h.doubtUntil.IsZero() {
		return false
	}
	if sh == nil || !sh.up() || sh.epoch != h.listEpoch {
		h.listedDeleted, h.doubtUntil = false, time.Time{}
		e.enqueue(l)
		return true
	}
	if !now.Before(h.doubtUntil) {
		return false
	}
	l.work.doubting = true
	e.wait(l, h.doubtUntil)
	return true
}

// undoubted wakes a lane that waits only because of a doubt: something new was
// heard of it.
func (e *Engine) undoubted(l *lane) {
	if l.work.doubting {
		e.wake(l)
	}
}
