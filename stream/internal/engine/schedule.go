package engine

import "time"

// queued is the number of lanes with work to do.
func (e *Engine) queued() int {
	return e.unloaded.len() + e.lanesLoading + e.ready.len() + len(e.reads) + e.waiting + e.starter.storing
}

// enqueue puts a lane at the end of the queue for what it needs next.
func (e *Engine) enqueue(l *lane) {
	e.touch(l)
	l.work.doubting = false
	delete(e.stalled, l)
	if l.work.phase == parked {
		e.stats.Parked--
		e.catch(l) // what it could not deliver before is due, whatever its age
	}
	if !l.known.loaded {
		l.work.phase = unloaded
		e.unloaded.push(l)
		return
	}
	l.work.phase = ready
	e.ready.push(l)
}

// wait has the lane looked at again at a time.
func (e *Engine) wait(l *lane, at time.Time) {
	l.work.phase = waiting
	l.work.again.lane = l
	e.waiting++
	e.later.set(&l.work.again, at)
}

// wake queues a lane that waits.
func (e *Engine) wake(l *lane) {
	e.later.stop(&l.work.again)
	e.waiting--
	e.enqueue(l)
}

// pump issues whatever may be issued and ends every input that concerns shards.
func (e *Engine) pump(now time.Time) { e.flow(now) }

// flow issues whatever may be issued and ends every input; what it costs does
// not depend on how many lanes and shards wait.
func (e *Engine) flow(now time.Time) {
	defer e.countLanes()
	if e.stopped {
		return
	}
	e.pumpLoads(now)
	for e.ready.len() > 0 && e.readPace.ready(now) {
		if len(e.reads) >= e.opts.Readers || !e.roomFor() || e.full() {
			break
		}
		if l := e.ready.pop(); !l.work.expelled {
			e.advance(now, l)
		}
	}
	e.flushFirst()
	e.pumpShards(now)
	e.tellFull()
	e.checkLive()
}

// roomFor reports whether another read fits the buffer. One is always allowed
// when nothing is buffered or reserved, or a batch larger than the buffer could
// never be read.
func (e *Engine) roomFor() bool {
	held := e.buffered + e.reserved
	return held == 0 || held+e.pageBytes() <= e.opts.Buffer
}

// pageBytes is the size a page is aimed at.
func (e *Engine) pageBytes() int64 {
	return max(1, min(1<<20, e.opts.Buffer/int64(2*e.opts.Readers)))
}

// defaultWindow is how many versions of average size make a page.
func (e *Engine) defaultWindow() uint64 {
	return uint64(max(1, min(maxWindow, e.pageBytes()/max(1, e.average))))
}

// advance begins a pass of a lane, or goes on with it: what was heard so far is
// taken and, if it calls for that, a read is issued.
func (e *Engine) advance(now time.Time, l *lane) {
	e.touch(l)
	l.work.phase, l.work.dirty = idle, false
	if l.heard.listedDeleted {
		if e.doubtsList(now, l) {
			return
		}
		if e.opts.LiveOnly {
			e.located(l)
		}
		if sh := e.shardOf(l.shard); l.origin != nil && sh != nil {
			l.heard.listedDeleted, l.heard.force = false, false
			e.markAbsent(sh, l)
			return
		}
		e.endLife(l)
		e.endPass(l)
		return
	}
	if l.work.redo && l.read.stage == resume {
		e.redone(l)
	}
	if e.begins(l) {
		return
	}
	if !l.read.begun && !l.wantsRead() {
		e.endPass(l)
		return
	}
	l.read.begun = true
	if l.read.stage == resume && l.known.void() {
		l.read.leader = true // a node that lags still shows the life that ended
		if l.known.cursor.Deleted && l.known.anchored() && !l.read.otherLife && !e.opts.ContinueOnly {
			l.read.stage = succeed
		}
	}
	e.issue(l)
}

// issue emits the read the lane's stage calls for.
func (e *Engine) issue(l *lane) {
	r := &l.read
	if r.window == 0 {
		r.window = e.defaultWindow()
	}
	r.aim(&l.known, l.work.probed, e.opts.ContinueOnly)
	if r.stage == resume || r.stage == succeed {
		l.heard.force = false
	}
	if r.stage != confirm && r.stage != probe {
		l.heard.lifeSince, l.heard.trimSince, r.epoch = false, 0, 0
		if sh := e.shardOf(l.shard); sh != nil && sh.up() {
			r.epoch = sh.epoch
		}
	}
	if l.work.reserved == 0 {
		l.work.reserved = e.pageBytes()
		e.reserved += l.work.reserved
	}
	l.work.phase = reading
	id := e.id()
	e.reads[id] = l
	e.stats.Reads++
	x := &l.heard.expects
	fresh := !l.work.absentSince.IsZero() || x.rechecks > 0 || x.rechecksLeft > 0
	e.emit(Command{Kind: Read, ID: id, Key: l.key, Node: e.nodeOf(l), From: r.from, To: r.to, Leader: r.leader, Fresh: fresh})
}

// endPass ends a pass: the lane rests, or goes to the end of the queue if there
// is more.
func (e *Engine) endPass(l *lane) {
	e.release(l)
	if l.read.leader {
		e.takeLeadersWord(l)
	}
	l.read = l.read.next()
	l.work.phase = idle
	if l.pending() {
		e.enqueue(l)
		return
	}
	l.work.dirty = false
	e.caught(l)
	l.heard, l.read = heard{}, read{}
	e.forgetRested(l)
}

// again goes on with the same pass at the end of the queue. Queued lanes keep no
// bytes: several of them could hold the whole buffer and none could go on.
func (e *Engine) again(l *lane) {
	e.release(l)
	l.work.phase = ready
	e.ready.push(l)
}

// retry goes on with a pass after a wait of the lane's own.
func (e *Engine) retry(now time.Time, l *lane, next read) {
	e.release(l)
	l.read = next
	if l.work.retry == nil {
		l.work.retry = new(pace)
	}
	e.wait(l, l.work.retry.failed(now, e.opts.NewBackoff))
}

// release gives back the bytes set aside.
func (e *Engine) release(l *lane) {
	e.reserved -= l.work.reserved
	l.work.reserved = 0
}
