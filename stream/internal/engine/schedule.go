package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// queued is the number of lanes with work to do.
func (e *Engine) queued() int {
	n := e.unloaded.len() + e.ready.len() + len(e.reads) + len(e.waiting) + len(e.held) + e.adopting
	for _, ld := range e.loads {
		n += len(ld.lanes)
	}
	return n
}

// enqueue puts an idle lane at the end of the queue for what it needs next.
func (e *Engine) enqueue(l *lane) {
	l.doubting = false
	if l.phase == parked {
		e.stats.Parked--
		e.catch(l) // what it could not deliver before is due, whatever its age
	}
	if !l.loaded {
		l.phase = unloaded
		e.unloaded.push(l)
		return
	}
	l.phase = ready
	e.ready.push(l)
}

// wait puts the lane aside until its backoff is over.
func (e *Engine) wait(now time.Time, l *lane) {
	l.phase = waiting
	l.wakeAt = l.retry.failed(now, e.opts.NewBackoff)
	e.waiting[l] = struct{}{}
}

// pump issues whatever may be issued. It ends every input but those of flow.
func (e *Engine) pump(now time.Time) {
	e.stirred = true
	e.flow(now)
}

// flow is pump for the inputs that come with each change, and concern lanes only:
// it leaves shards alone that wait for nothing but notifications.
func (e *Engine) flow(now time.Time) {
	if e.stopped {
		return
	}
	e.pumpLoads(now)
	for e.ready.len() > 0 && e.readPace.ready(now) {
		if len(e.reads) >= e.opts.Readers || !e.roomFor() {
			break
		}
		if l := e.ready.pop(); !l.expelled {
			e.work(now, l)
		}
	}
	e.flushAdopted()
	if e.stirred {
		e.pumpShards(now)
	}
	e.checkLive()
}

// pumpShards goes on with the lists. Shards stay stirred until all are quiet.
func (e *Engine) pumpShards(now time.Time) {
	e.stirred, e.shardsWake.known = false, false
	for _, sh := range e.shards {
		e.tickListing(now, sh)
		if sh.settled || sh.up() {
			e.pumpListing(now, sh)
		}
		if !sh.quiet(now) {
			e.stirred = true
		}
	}
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

// work begins a pass of a lane: the hints so far are taken and, if they call for
// it, a read is issued.
func (e *Engine) work(now time.Time, l *lane) {
	l.phase = idle
	l.dirty = false
	if l.redo && l.stage == resume && !l.listedDeleted {
		e.redone(l)
	}
	if l.listedDeleted {
		e.commenced(l)
		e.endLife(l)
		e.endPass(now, l)
		return
	}
	if l.commence.active && e.commenceRead(l) {
		e.issue(l)
		return
	}
	if l.stage == resume && !l.needsRead() {
		e.endPass(now, l)
		return
	}
	if l.window == 0 {
		l.window = e.defaultWindow()
	}
	if l.stage == resume && l.void() {
		l.leader = true // a node that lags still shows the life that ended
		if l.cursor.Deleted && l.anchored() && !l.succeeded && !e.opts.ContinueOnly {
			l.stage = succeed
		}
	}
	e.issue(l)
}

// issue emits the read the lane's stage calls for.
func (e *Engine) issue(l *lane) {
	v := l.cursor.Version
	switch l.stage {
	case resume:
		l.force = false
		e.aim(l)
	case first:
		l.from, l.to = 1, msg.Some(uint64(1))
	case succeed:
		l.force = false
		l.from, l.to = v, msg.Some(saturate(max(v, l.emptyTo), l.window))
		if l.openEnd {
			l.to = msg.None[uint64]()
		}
	case skip:
		l.from, l.to = l.skipFrom, msg.Some(saturate(max(l.skipFrom-1, l.emptyTo), l.window))
		if l.openEnd {
			l.to = msg.None[uint64]()
		}
	case confirm:
		l.from, l.to = v, msg.Some(v)
		if !l.anchored() {
			l.from, l.to = 1, msg.Some(uint64(0))
		}
	case probe:
		l.from, l.to = v, msg.Some(v)
		if !l.anchored() || !e.compares(l) || l.probed <= v {
			l.from, l.to = 1, msg.Some(uint64(0))
		}
	}
	if l.stage != confirm && l.stage != probe {
		l.suspectRead, l.trimRead = false, 0
		if sh := e.shardOf(l.shard); sh != nil && sh.up() {
			l.readEpoch = sh.epoch
		} else {
			l.readEpoch = 0
		}
	}
	if l.reserved == 0 {
		l.reserved = e.pageBytes()
		e.reserved += l.reserved
	}
	l.phase = reading
	id := e.id()
	e.reads[id] = l
	e.stats.Reads++
	e.emit(Command{Kind: Read, ID: id, Key: l.key, Node: e.nodeOf(l), From: l.from, To: l.to, Leader: l.leader})
}

// aim sets the range of a resuming read: inclusive from the cursor, so that the
// batch there can be compared, or from the start. What lies up to emptyTo is
// known to hold nothing.
func (e *Engine) aim(l *lane) {
	v := l.cursor.Version
	if e.fromStart(l) {
		l.from = 1
		if !l.anchored() || l.restart || l.cursor.Deleted {
			v = 0
		}
	} else {
		l.from = v
	}
	if l.openEnd {
		l.to = msg.None[uint64]()
		return
	}
	l.to = msg.Some(saturate(max(v, l.emptyTo), l.window))
}

// fromStart reports whether the lane reads its aggregate from the beginning of
// its present life: nothing was delivered of it yet, or only version 1, below
// which no read from it could stop.
func (e *Engine) fromStart(l *lane) bool {
	switch {
	case l.restart || l.cursor.Version <= 1:
		return true
	case l.cursor.Deleted:
		return !e.opts.ContinueOnly || !l.anchored()
	}
	return false
}

// compares reports whether the batch at the cursor is to be found again: not
// when the cursor's life is over, unless a continuation is to be continued.
func (e *Engine) compares(l *lane) bool {
	if l.restart || l.cursor.Version == 0 {
		return false
	}
	return !l.cursor.Deleted || (e.opts.ContinueOnly && l.anchored())
}

// saturate adds without wrapping.
func saturate(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// endPass ends a pass: the lane rests, or goes to the end of the queue if there
// is more.
func (e *Engine) endPass(now time.Time, l *lane) {
	e.release(l)
	if l.leader {
		e.led(l)
	}
	l.stage, l.leader = resume, false
	l.held, l.skipFrom = heldPage{}, 0
	l.phase = idle
	if l.pending() {
		e.enqueue(l)
		return
	}
	l.dirty = false
	e.caught(l)
	l.target, l.window, l.emptyTo, l.restart = 0, 0, 0, false
	l.openEnd, l.beyond, l.toEnd, l.succeeded, l.continued = false, false, false, false, false
	l.told, l.head, l.expects = time.Time{}, 0, expectation{}
	e.forgetRested(l)
}

// again goes on with the same pass at the end of the queue. Queued lanes keep no
// bytes: several of them could hold the whole buffer and none could go on.
func (e *Engine) again(l *lane) {
	e.release(l)
	l.phase = ready
	e.ready.push(l)
}

// retry begins the pass anew after a wait of the lane's own.
func (e *Engine) retry(now time.Time, l *lane) {
	e.release(l)
	l.stage, l.held, l.emptyTo = resume, heldPage{}, 0
	l.force = true
	e.wait(now, l)
}

// askLeader begins the pass anew at the leader, whose word counts. Without it,
// in the middle of an election, the lane asks again later.
func (e *Engine) askLeader(now time.Time, l *lane) {
	if l.leader {
		e.retry(now, l)
		return
	}
	if l.watched {
		e.lags(now, l)
	}
	l.leader, l.emptyTo = true, 0
	e.anew(l)
}

// release gives back the bytes set aside.
func (e *Engine) release(l *lane) {
	e.reserved -= l.reserved
	l.reserved = 0
}
