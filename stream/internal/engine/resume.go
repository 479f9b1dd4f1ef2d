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
		if ours || e.lagChecked(now, id, len(p.Batches) > 0) {
			e.pump(now)
		}
		return
	}
	l.phase, l.watched = idle, e.watches(l, p.Node)
	e.readPace.succeeded(now, e.opts.Healthy)
	if l.listedDeleted {
		e.again(l) // the list beats what was read
		e.flow(now)
		return
	}
	if l.from > 1 && p.Next.Set && p.Next.Value == l.from && len(p.Batches) > 0 && p.Batches[0].Version == l.from {
		// What did not fit the page was a repeat of its first batch.
		p.Next.Value++
	}
	switch l.stage {
	case resume:
		e.resumed(now, l, &p)
	case first:
		e.began(now, l, &p)
	case skip:
		e.skipped(now, l, &p)
	case confirm:
		e.confirmed(now, l, &p)
	case probe:
		e.probed(now, l, &p)
	case commence:
		e.commencedAt(now, l, &p)
	case succeed:
		e.succession(now, l, &p)
	}
	e.flow(now)
}

// resumed judges a read that began at the cursor or at the start.
func (e *Engine) resumed(now time.Time, l *lane, p *Page) {
	batches, anchors, ok := e.trust(p, l.from, l.to)
	if l.from == 1 && (!ok || p.Next.Set || len(batches) == 0 || batches[0].Version != 1) {
		// A read from 1 runs through earlier lives if there are any. Only a
		// complete page that ascends from its only batch 1 is of one life; any
		// other one proves nothing, and exactly version 1 must be read.
		l.stage = first
		e.issue(l)
		return
	}
	if !ok {
		e.distrust(now, l)
		return
	}
	if !e.compares(l) && l.ended(batches, anchors, p.Next) {
		if !e.doubts(now, l) {
			e.endPass(now, l)
		}
		return
	}
	if e.compares(l) {
		if len(batches) == 0 || batches[0].Version != l.cursor.Version || anchors[0] != l.cursor.Anchor {
			e.otherLife(now, l, p.Authoritative)
			return
		}
		batches, anchors = batches[1:], anchors[1:]
	}
	e.deliver(l, batches, anchors)
	e.verify(l)
	e.pageDone(now, l, len(batches), p.Next, l.to, p.Authoritative)
}

// ended reports whether a page from the start shows the life that was announced as
// deleted and nothing else, although nothing was seen to follow it: on a pair a
// node was seen to show first that a life has ended, and then that life again.
func (l *lane) ended(batches []msg.Batch, anchors []checkpoint.Anchor, next msg.Opt[uint64]) bool {
	n := len(batches) - 1
	if !l.cursor.Deleted || !l.anchored() || l.continued || l.from > 1 || n < 0 || next.Set {
		return false
	}
	return batches[n].Version == l.cursor.Version && anchors[n] == l.cursor.Anchor
}

// began judges a read of exactly version 1: its last batch is the first of the
// present life.
func (e *Engine) began(now time.Time, l *lane, p *Page) {
	b, anchor, ok := lastAt(p, 1)
	if !ok {
		e.stats.Untrusted++
		l.unanswered(1)
		l.silent++
		if l.silent > silences {
			// The first batches of all lives do not fit one page, or the node has
			// none: there is no way to tell where the present life begins.
			e.park(now, l, 1)
			return
		}
		e.retry(now, l)
		return
	}
	if e.compares(l) {
		if l.cursor.Version != 1 || anchor != l.cursor.Anchor {
			e.otherLife(now, l, p.Authoritative)
			return
		}
	} else {
		e.deliver(l, []msg.Batch{*b}, []checkpoint.Anchor{anchor})
	}
	e.verify(l)
	l.skipFrom = 2
	l.stage = skip
	e.again(l)
}

// verify notes that the cursor is in step with the node. What a create or delete
// has done that was heard of may not be shown yet.
func (e *Engine) verify(l *lane) {
	l.verified, l.suspect = l.readEpoch, l.suspectRead || l.expects.gone || l.expects.born || l.expects.again > 0
	l.retry = pace{}
}

// distrust throws a page away.
func (e *Engine) distrust(now time.Time, l *lane) {
	e.stats.Untrusted++
	e.retry(now, l)
}

// pageDone decides what follows a page that was delivered: n new batches, the
// next version if the node named one, the upper bound of the range.
func (e *Engine) pageDone(now time.Time, l *lane, n int, next, to msg.Opt[uint64], authoritative bool) {
	if n > 0 {
		l.emptyTo, l.openEnd, l.beyond, l.unreadable = 0, false, false, 0
		l.window = e.defaultWindow()
	}
	l.stage = resume
	switch {
	case next.Set && n == 0:
		// The node could not fit the batch behind the cursor into a page that
		// begins with it: ask for that batch alone.
		l.stage, l.skipFrom, l.window = skip, next.Value, 1
		e.again(l)
	case next.Set:
		l.force = true
		e.again(l)
	case !to.Set:
		e.covered(now, l, authoritative)
	case l.target > to.Value || (l.beyond && to.Value < ^uint64(0)):
		if n == 0 {
			// A hole: versions jump. Look further, ever wider.
			l.emptyTo = to.Value
			l.window = saturate(l.window, l.window)
		}
		l.force = true
		e.again(l)
	case l.endUnknown() && n > 0 && l.cursor.Version == to.Value:
		l.force = true
		e.again(l)
	case l.endUnknown() && (l.cursor.Version == 1 || l.floored()):
		l.openEnd, l.force = true, true
		e.again(l)
	default:
		e.covered(now, l, authoritative)
	}
}

// covered ends a pass whose range was read to the end of what was heard of. A
// head below that, or another one than was listed, may be a lagging node's; from
// the leader it is the truth, for what was heard of can belong to an earlier life.
func (e *Engine) covered(now time.Time, l *lane, authoritative bool) {
	if l.short() && !authoritative {
		e.askLeader(now, l)
		return
	}
	if !e.doubts(now, l) {
		e.endPass(now, l)
	}
}
