package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// PageRead answers Read.
func (e *Engine) PageRead(now time.Time, id uint64, p Page) {
	l, ours := e.reads[id]
	delete(e.reads, id)
	if l == nil {
		if !ours {
			e.lagChecked(now, id, len(p.Batches) > 0)
		}
		e.flow(now)
		return
	}
	e.touch(l)
	e.answeredBy(now, l, p.Node, p.Authoritative)
	if r := &l.read; r.from > 1 && p.Next.Set && p.Next.Value == r.from && len(p.Batches) > 0 && p.Batches[0].Version == r.from {
		// The page was cut before a repeat of its first batch.
		p.Next.Value++
	}
	if l.heard.listedDeleted {
		e.again(l) // the list beats what was read
	} else {
		s := l.situation(e.opts.ContinueOnly)
		e.apply(now, l, s.page(&p, &e.pages), p.Authoritative)
	}
	e.flow(now)
}

// ReadFailed answers Read.
func (e *Engine) ReadFailed(now time.Time, id uint64, f Failure) {
	l, ours := e.reads[id]
	delete(e.reads, id)
	if l == nil {
		if !ours {
			e.lagChecked(now, id, f.Kind == BelowFloor || f.Kind == TooLarge)
		}
		e.flow(now)
		return
	}
	if f.Kind == Permanent {
		e.fail(f.Err)
		return
	}
	e.touch(l)
	l.work.phase, l.read.watched = idle, e.watches(l, f.Node)
	if f.Kind == NotFound || f.Kind == BelowFloor {
		e.answers(now, f.Authoritative)
	}
	s := l.situation(e.opts.ContinueOnly)
	e.apply(now, l, s.failure(&f), f.Authoritative)
	e.flow(now)
}

// answeredBy notes that a node answers; authoritative tells that it leads.
func (e *Engine) answeredBy(now time.Time, l *lane, node string, authoritative bool) {
	l.work.phase, l.read.watched, l.work.refused = idle, e.watches(l, node), false
	e.refusals = 0
	e.readPace.succeeded(now, e.opts.Healthy)
	e.answers(now, authoritative)
}

// apply does what a verdict asks for; authoritative tells whether the answer was the
// leader's word.
func (e *Engine) apply(now time.Time, l *lane, v verdict, authoritative bool) {
	if n := l.known.tooOld(v.batches); n > 0 {
		e.passOver(l, &v.batches[n-1], v.anchors[n-1])
		return
	}
	if v.atFloor && !e.passFloor(l, &v) {
		return
	}
	if v.inStep {
		e.deliver(l, v.batches, v.anchors)
		e.verify(l)
		l.work.seen = now
	}
	switch v.action {
	case proceed:
		l.read = v.read
		e.again(l)
	case askNow:
		l.read = v.read
		e.issue(l)
	case complete:
		l.read = v.read
		e.complete(now, l, authoritative)
	case believe:
		e.believe(now, l)
	case askLeader:
		e.askLeader(now, l)
	case distrust:
		e.stats.Untrusted++
		e.retry(now, l, l.read.anew())
	case later:
		e.stall(now, l, v.read)
	case pause:
		e.pause(now, l)
	case refused:
		e.refused(now, l)
	case otherLife:
		if !v.absent || !e.doubtsAbsence(now, l) {
			e.otherLife(l)
		}
	case gone:
		e.gone(now, l)
	case trimmed:
		e.readPace.succeeded(now, e.opts.Healthy)
		e.trimmed(l, v.version)
	case suspectSilence:
		e.suspectSilence(l, v)
	case silent:
		e.silent(now, l)
	case noFirst:
		e.noFirst(now, l)
	case beginBehind:
		e.beginBehind(l, v.cursor)
	case noBatch:
		e.noBatch(l, v.certain)
	}
}

// verify notes that the cursor is in step with the node. A notified
// create or delete may not be shown yet.
func (e *Engine) verify(l *lane) {
	l.known.verified, l.known.suspect = l.read.epoch, l.heard.lifeSince || l.heard.expects.ofLife()
	l.work.retry, l.work.absentSince = nil, time.Time{}
}

// complete ends a pass whose range was read to the end of what was heard of. A
// head below that, or another one than was listed, may be a lagging node's; from
// the leader it is the truth, for what was heard of can belong to an earlier life.
func (e *Engine) complete(now time.Time, l *lane, authoritative bool) {
	if l.heard.short(&l.known) && !authoritative {
		e.askLeader(now, l)
		return
	}
	e.reachedEnd(l)
	e.believe(now, l)
}

// believe ends a pass unless the answer is doubted.
func (e *Engine) believe(now time.Time, l *lane) {
	if !e.doubts(now, l, false) {
		e.endPass(l)
	}
}

// askLeader begins the pass anew at the leader, whose word counts. Without it,
// in the middle of an election, the lane asks again later.
func (e *Engine) askLeader(now time.Time, l *lane) {
	if l.read.leader {
		e.leaderAway.failed(now)
		e.stall(now, l, l.read.anew())
		return
	}
	if l.read.watched {
		e.lags(now, l)
	}
	l.read = l.read.anew()
	l.read.leader = true
	e.again(l)
}

// pause stops all reads for a while: the node cannot be asked, whatever the lane. A
// leader that is missed holds up only who needs it.
func (e *Engine) pause(now time.Time, l *lane) {
	if l.read.leader {
		e.leaderAway.failed(now)
		e.stall(now, l, l.read.anew())
		return
	}
	e.nodeAway.failed(now)
	if e.readPace.ready(now) {
		e.readPace.failed(now, e.opts.NewBackoff)
	}
	l.read = l.read.anew()
	e.again(l)
}

// refused has the lane wait by itself: a node that answers with a code can be asked for
// all others. One that refuses so many in a row, and answers for none, is given a pause.
func (e *Engine) refused(now time.Time, l *lane) {
	if !l.work.refused {
		l.work.refused = true
		e.refusals++
	}
	if e.refusals >= refusals && e.readPace.ready(now) {
		e.readPace.failed(now, e.opts.NewBackoff)
	}
	e.retry(now, l, l.read.anew())
}

// deliver hands over batches of the lane's life; what follows a deleted cursor
// is the next life.
func (e *Engine) deliver(l *lane, batches []msg.Batch, anchors []checkpoint.Anchor) {
	e.release(l)
	if len(batches) == 0 {
		return
	}
	k := &l.known
	if sh := e.shardOf(l.shard); sh != nil {
		sh.list.show(l.key)
	}
	l.waitsSince(batches[0].ServerTimestamp)
	life := k.nextLife()
	if k.cursor.Deleted || k.cursor.IsZero() {
		l.heard.expects.onBatchAfterDelete(k.cursor.Deleted)
	}
	changes := e.newChanges(len(batches))
	bytes, previous := int64(0), k.cursor
	for i := range batches {
		changes[i] = Change{
			Kind: Batch, Key: l.key, Batch: batches[i],
			Cursor:   checkpoint.Cursor{Life: life, Version: batches[i].Version, Anchor: anchors[i]},
			Previous: previous,
		}
		previous = changes[i].Cursor
		bytes += changes[i].Size()
		l.heard.shows(&batches[i])
	}
	k.cursor = previous
	k.below, k.onTrust, k.unreadable, k.notBefore, l.work.silences = false, false, 0, 0, 0
	e.average += (bytes/int64(len(batches)) - e.average) / 8
	e.stats.Batches += uint64(len(batches))
	e.buffered += bytes
	e.emit(Command{Kind: Deliver, Changes: changes, Bytes: bytes})
	e.recount(l)
	e.reached(l)
}

// newChanges returns n changes to be set.
func (e *Engine) newChanges(n int) []Change {
	if n > cap(e.changes) {
		return make([]Change, n)
	}
	changes := e.changes[:n]
	e.changes = nil // one command's, until it is recycled
	return changes
}

// announce delivers a change without a batch and moves the cursor to its.
func (e *Engine) announce(l *lane, c Change) {
	c.Key, c.Previous = l.key, l.known.cursor
	l.known.cursor, l.known.unreadable = c.Cursor, 0
	e.recount(l)
	e.hand(c)
}

// hand delivers a change without a batch.
func (e *Engine) hand(c Change) {
	e.buffered += c.Size()
	e.emit(Command{Kind: Deliver, Changes: []Change{c}, Bytes: c.Size()})
}
