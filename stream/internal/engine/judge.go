package engine

import (
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// An answer to a read is judged by what is known, what was heard and what was
// asked for. Judging changes nothing; what follows from a verdict is done in one
// place, apply.go.

// action is what a verdict asks for.
type action uint8

const (
	// proceed: the pass goes on, behind other lanes. askNow: it goes on at once.
	proceed action = iota + 1
	askNow
	// complete: the range is read up to what was heard of.
	complete
	// believe: nothing is to be delivered; what was heard of decides whether the
	// aggregate is looked at again.
	believe
	// askLeader: begin anew at the leader, whose word counts.
	askLeader
	// distrust: throw the page away and read again later.
	distrust
	// later: go on after a wait of the lane's own.
	later
	// pause: this node cannot be asked. refused: it can, but not for this.
	pause
	refused
	// otherLife: what stands at the cursor is not what was delivered.
	otherLife
	// gone: the aggregate does not exist.
	gone
	// trimmed: the floor, version, has passed the cursor.
	trimmed
	// suspectSilence: version stayed unanswered; probe whether the node answers
	// otherwise. silent: it does, so that the silence counts.
	suspectSilence
	silent
	// noFirst: a page from the start does not tell where the present life begins.
	noFirst
	// beginBehind: a lane that starts now begins behind the only batch. noBatch: that
	// batch is not there.
	beginBehind
	noBatch
)

// verdict is what came of an answer.
type verdict struct {
	action action
	// read is the pass as it goes on.
	read read
	// batches are delivered first. inStep: the cursor, or what is delivered, is of the
	// log that the node has.
	batches []msg.Batch
	anchors []checkpoint.Anchor
	inStep  bool
	// atFloor: the floor's page was read; anchor is that of the batch there, if it is.
	atFloor bool
	anchor  checkpoint.Anchor
	version uint64
	cursor  checkpoint.Cursor // of beginBehind
	// certain: asking for version again cannot help.
	certain bool
	// absent: nothing stands where another life was concluded from.
	absent bool
}

// situation is what an answer is judged by: copies.
type situation struct {
	known        known
	heard        heard
	read         read
	probed       uint64
	continueOnly bool
}

func (l *lane) situation(continueOnly bool) situation {
	return situation{known: l.known, heard: l.heard, read: l.read, probed: l.work.probed, continueOnly: continueOnly}
}

// compares reports whether the batch at the cursor is to be found again.
func (s *situation) compares() bool { return s.read.compares(&s.known, s.continueOnly) }

// anchorless reports whether the cursor stands at no batch, but below a floor.
func (s *situation) anchorless() bool { return s.compares() && !s.known.anchored() }

// page judges a page.
func (s *situation) page(p *Page, pages *pages) verdict {
	switch s.read.stage {
	case first:
		return s.firstPage(p)
	case skip:
		return s.skippedPage(p, pages)
	case confirm:
		if v, ok := s.atCursor(p, pages); !ok {
			return v
		}
		return s.heldPage(pages)
	case probe:
		if s.anchorless() || s.read.to.Value != 0 {
			// Behind another life's cursor nothing is unreadable yet.
			if v, ok := s.atCursor(p, pages); !ok {
				return v
			}
		}
		return verdict{action: silent}
	case succeed:
		return s.successor(p, pages)
	case begin:
		return s.beginning(p)
	}
	return s.resumed(p, pages)
}

// resumed judges a page that begins at the cursor or at the start.
func (s *situation) resumed(p *Page, pages *pages) verdict {
	r := &s.read
	batches, anchors, ok := pages.trust(p, r.from, r.to)
	if r.from == 1 && (!ok || p.Next.Set || len(batches) == 0 || batches[0].Version != 1) {
		// A read from 1 runs through earlier lives if there are any. Only a
		// complete page that ascends from its only batch 1 is of one life; any
		// other one proves nothing, and exactly version 1 must be read.
		return verdict{action: askNow, read: r.at(first)}
	}
	if !ok || len(batches) == 0 && p.Next.Set {
		return verdict{action: distrust}
	}
	if !s.compares() && s.ended(batches, anchors, p.Next) {
		return s.beyond()
	}
	if s.compares() {
		if len(batches) == 0 {
			return s.onAbsence(p.Authoritative)
		}
		if batches[0].Version != s.known.cursor.Version || anchors[0] != s.known.cursor.Anchor {
			return s.onOtherLife(p.Authoritative)
		}
		batches, anchors = batches[1:], anchors[1:]
	}
	return s.deliver(batches, anchors, p.Next, r.to)
}

// ended reports whether a page from the start shows the life that was announced as
// deleted and nothing else, although nothing was seen to follow it: on a pair a
// node was seen to show first that a life has ended, and then that life again.
func (s *situation) ended(batches []msg.Batch, anchors []checkpoint.Anchor, next msg.Opt[uint64]) bool {
	c, n := &s.known.cursor, len(batches)-1
	if !c.Deleted || !s.known.anchored() || s.read.continued || s.read.from > 1 || n < 0 || next.Set {
		return false
	}
	return batches[n].Version == c.Version && anchors[n] == c.Anchor
}

// onOtherLife is the verdict on a batch that is not the cursor's. Only the leader's
// word counts, for a node that lags shows a shorter log.
func (s *situation) onOtherLife(authoritative bool) verdict {
	if !authoritative {
		return verdict{action: askLeader}
	}
	return verdict{action: otherLife}
}

// onAbsence is the verdict on an answer that shows nothing at the cursor and behind it.
// The log may have become shorter, or the leader does not show yet what another node
// has shown.
func (s *situation) onAbsence(authoritative bool) verdict {
	v := s.onOtherLife(authoritative)
	v.absent = true
	return v
}

// firstPage judges a read of exactly version 1: its last batch is the first of the
// present life.
func (s *situation) firstPage(p *Page) verdict {
	b, anchor, ok := lastAt(p, 1)
	if !ok {
		return verdict{action: noFirst}
	}
	v := verdict{action: proceed, inStep: true, read: s.read.at(skip)}
	v.read.skipFrom, v.read.restart = 2, false
	if s.compares() {
		if s.known.cursor.Version != 1 || anchor != s.known.cursor.Anchor {
			return s.onOtherLife(p.Authoritative)
		}
		return v
	}
	v.batches, v.anchors = []msg.Batch{*b}, []checkpoint.Anchor{anchor}
	return v
}

// skippedPage holds a page that was read behind the cursor without it. Between the
// read that verified the cursor and this one the aggregate may have begun
// another life, so nothing of the page is delivered before another look at the
// cursor's batch.
func (s *situation) skippedPage(p *Page, pages *pages) verdict {
	r := s.read
	batches, anchors, ok := pages.trust(p, r.from, r.to)
	if !ok {
		return verdict{action: distrust}
	}
	v, floor := verdict{atFloor: r.lost > 0 || r.resumes}, s.known.floor
	if r.resumes {
		floor = r.skipFrom
	}
	if len(batches) > 0 && batches[0].Version == floor {
		v.anchor = anchors[0]
	}
	if s.known.onTrust && r.skipFrom == s.known.floor && (v.anchor == checkpoint.Anchor{} || s.known.below && v.anchor != s.known.cursor.Anchor) {
		// As a rule the batch at a floor exists, and without it there is no saying
		// that what follows is of the same life.
		return s.onOtherLife(p.Authoritative)
	}
	if len(batches) == 0 && p.Next.Set && p.Next.Value > r.skipFrom {
		r.skipFrom = p.Next.Value
		v.action, v.read = proceed, r
		if v.read.empty++; v.read.empty > emptyPages {
			v.action = later
		}
		return v
	}
	// Nothing behind the cursor is no proof of its life either.
	r.held = &heldPage{batches: append([]msg.Batch(nil), batches...), next: p.Next, to: r.to}
	v.action, v.read = askNow, r.at(confirm)
	return v
}

// atCursor judges a page read at the cursor's version alone; false when its verdict
// stands. Where the cursor stands below a floor, the floor was to be shown, not a
// page.
func (s *situation) atCursor(p *Page, pages *pages) (verdict, bool) {
	if s.anchorless() {
		return s.onOtherLife(p.Authoritative), false
	}
	var shown checkpoint.Anchor
	batches, anchors, ok := pages.trust(p, s.read.from, s.read.to)
	if s.known.cursor.Version == 1 {
		_, shown, ok = lastAt(p, 1)
	} else if ok && len(batches) == 1 {
		shown = anchors[0]
	}
	switch {
	case !ok:
		return verdict{action: distrust}, false
	case shown == checkpoint.Anchor{}:
		return s.onAbsence(p.Authoritative), false
	case shown != s.known.cursor.Anchor:
		return s.onOtherLife(p.Authoritative), false
	}
	return verdict{}, true
}

// heldPage delivers the held page: the cursor's batch is still there.
func (s *situation) heldPage(pages *pages) verdict {
	var held heldPage
	if s.read.held != nil {
		held = *s.read.held
	}
	page := Page{Batches: held.batches, Next: held.next}
	batches, anchors, _ := pages.trust(&page, s.read.skipFrom, held.to)
	return s.deliver(batches, anchors, held.next, held.to)
}

// successor judges what stands at and behind the last batch of a life that ended.
// A recreation that goes on counting writes behind it, one that does not puts
// something else in its place; where neither is so, the node still shows what was
// deleted, and that must not be delivered as the next life.
func (s *situation) successor(p *Page, pages *pages) verdict {
	batches, anchors, ok := pages.trust(p, s.read.from, s.read.to)
	if !ok || len(batches) != 1 || p.Next.Set || anchors[0] != s.known.cursor.Anchor {
		return s.nextLife(ok && len(batches) > 0 && anchors[0] == s.known.cursor.Anchor)
	}
	return s.beyond()
}

// beyond looks further for what follows the life that ended, where more was heard of
// than the range of the read shows.
func (s *situation) beyond() verdict {
	r := s.read
	switch {
	case r.to.Set && s.heard.target > r.to.Value:
		// A hole: versions jump. Look further, ever wider.
		r.scannedTo, r.window = r.to.Value, saturate(r.window, r.window)
		return verdict{action: proceed, read: r}
	case r.to.Set && s.heard.endUnknown():
		r.openEnd = true
		return verdict{action: proceed, read: r}
	}
	return verdict{action: believe}
}

// nextLife reads the life behind the one that ended from its start.
func (s *situation) nextLife(continued bool) verdict {
	next := s.read.anew()
	next.otherLife, next.continued, next.openEnd, next.window = true, continued, false, 0
	return verdict{action: proceed, read: next}
}

// deliver delivers what a page holds and decides what follows: next is the
// next version if the node named one, to the upper bound of the range.
func (s *situation) deliver(batches []msg.Batch, anchors []checkpoint.Anchor, next, to msg.Opt[uint64]) verdict {
	r, k, h, n := s.read.at(resume), s.known, &s.heard, len(batches)
	r.held = nil
	if n > 0 {
		k.cursor = checkpoint.Cursor{Version: batches[n-1].Version}
		r.scannedTo, r.openEnd, r.searchUp, r.restart, r.window = 0, false, false, false, 0
	}
	v := verdict{action: proceed, batches: batches, anchors: anchors, inStep: true}
	switch {
	case next.Set && n == 0:
		// The node could not fit the batch behind the cursor into a page that
		// begins with it: ask for that batch alone.
		r.stage, r.skipFrom, r.window = skip, next.Value, 1
	case next.Set:
	case !to.Set:
		v.action = complete
	case h.target > to.Value || r.searchUp && to.Value < ^uint64(0):
		if n == 0 {
			// A hole: versions jump. Look further, ever wider.
			r.scannedTo, r.window = to.Value, saturate(r.window, r.window)
			s.pastFirst(&r)
		}
	case h.endUnknown() && n > 0 && k.cursor.Version == to.Value:
	case h.endUnknown() && (k.cursor.Version == 1 || k.floored()):
		r.openEnd = true
		if n == 0 {
			s.pastFirst(&r)
		}
	default:
		v.action = complete
	}
	v.read = r
	return v
}

// pastFirst has a pass that found nothing behind version 1 look further from there too:
// a read from 1 runs through all earlier lives, and was not answered or too large. Version
// 1 is read before each look, for the next node may still show an earlier life.
func (s *situation) pastFirst(r *read) {
	if s.read.stage == confirm && s.known.cursor.Version == 1 {
		r.stage = first
	}
}
