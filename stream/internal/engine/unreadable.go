package engine

import "time"

// suspectSilence asks whether the node answers for the aggregate of a version that
// it did not answer for.
func (e *Engine) suspectSilence(l *lane, v verdict) {
	l.work.unanswered(v.version)
	if v.certain {
		l.work.silences = l.work.patience()
	}
	l.read = v.read
	e.issue(l)
}

// silent counts a silence: the node answers for this aggregate, so the single
// batch that stayed unanswered is what it cannot send.
func (e *Engine) silent(now time.Time, l *lane) {
	l.work.silences++
	if l.work.silences >= l.work.patience() {
		e.park(now, l, l.work.probed)
		return
	}
	e.retry(now, l, l.read.anew())
}

// noFirst counts the answers that do not tell where the present life begins: the
// first batches of all lives do not fit one page, or the node has none.
func (e *Engine) noFirst(now time.Time, l *lane) {
	e.stats.Untrusted++
	l.work.unanswered(1)
	l.work.silences++
	if l.work.silences > silences {
		e.park(now, l, 1)
		return
	}
	e.retry(now, l, l.read.anew())
}

// park announces the batch as unreadable, once, and lets the lane rest until
// its life changes, a trim passes the batch, or the shard is reconciled.
func (e *Engine) park(now time.Time, l *lane, version uint64) {
	k, h := &l.known, &l.heard
	unsure := !l.read.leader && !h.agrees(k)
	switch {
	case l.origin != nil && e.opts.FromNow && e.shardOf(l.shard) != nil:
		// The batch to begin behind cannot be read, and what lies before it is old: the
		// mark of the start tells by its time.
		e.release(l)
		l.read, l.heard.force = read{}, false
		e.markAbsent(e.shardOf(l.shard), l)
		return
	case l.read.stage == begin || l.origin != nil:
		// Where it begins is not known, and it is better to deliver all of it than too little.
		e.noBatch(l, true)
		return
	case unsure && (e.mayLag() || h.head < version):
		// The node lags, or its life is another one than the leader's.
		e.askLeader(now, l)
		return
	case unsure && k.anchored() && l.read.compares(k, e.opts.ContinueOnly):
		// The life listed may be another one all the same: whether the leader still
		// has the batch at the cursor is enough to know.
		l.read.leader, l.read.stage, l.work.probed = true, probe, version
		e.issue(l)
		return
	case h.lifeSince || h.listedDeleted || h.trimSince > version:
		// Its life or its floor changed after the batch was asked for.
		l.read = l.read.anew()
		e.again(l)
		return
	}
	if l.read.lost > 0 || l.read.resumes {
		e.passFloor(l, &verdict{read: l.read})
	}
	if k.unreadable != version {
		k.unreadable = version
		e.hand(Change{Kind: Unreadable, Key: l.key, Version: version})
	}
	if h.expects.passes(version) && e.doubts(now, l, false) {
		return
	}
	e.release(l)
	l.work.dirty, h.force = false, false
	l.read = l.read.next()
	l.work.phase = parked
	e.stats.Parked++
	e.caught(l)
}
