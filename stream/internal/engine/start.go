package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// A subscription that starts now gives every aggregate that is there already a
// first cursor, which is stored before anything behind it is delivered: otherwise a
// later run could not tell an aggregate that was there from one that was created
// while nobody watched. The cursor stands at the newest batch that the list shows,
// or, where a notification tells of earlier versions that were committed since the
// acknowledgement, at what lies before those. An aggregate that is listed as deleted
// gets a mark, so that what it held is not delivered when it is continued.

// startState is how far a start is.
type startState uint8

const (
	// locating: shards are listed, and aggregates get their first cursors.
	locating startState = iota
	// noting: every aggregate has one, and the start is being noted in the store.
	noting
	// made: whatever has no cursor is new.
	made
)

// starter makes the start. The starter needs the origin of each lane.
type starter struct {
	state startState
	// before tells of aggregates whose start was made before; nil for none.
	before func(msg.Key) bool
	// open counts the lanes that have still to begin, storing those whose first cursor
	// is being stored; shards those that are not listed to their end.
	open, storing, shards int
	first                 []checkpoint.Entry // to be stored
	newest                uint64             // server time that a list has shown
}

// origin is what decides where a lane begins.
type origin struct {
	listed uint64 // the highest version listed; 0 for none
	// jumped: there is no batch at the version before, so that the one before is 1:
	// a fresh life jumps from there to above the versions of the earlier ones.
	jumped bool
}

// startShard has the aggregates of a shard without a cursor begin where they are,
// until it is listed to its end.
func (e *Engine) startShard(sh *shard) {
	if !e.opts.FromNow || sh.starting {
		return
	}
	sh.starting = true
	e.starter.shards++
	e.starter.state = locating
}

// startedShard ends that.
func (e *Engine) startedShard(sh *shard) {
	if sh.starting {
		sh.starting = false
		e.starter.shards--
	}
}

// startsNow reports whether an aggregate without a cursor begins where it is.
func (e *Engine) startsNow(sh *shard, key msg.Key) bool {
	return sh.starting && (e.starter.before == nil || !e.starter.before(key))
}

// locate has a lane get its first cursor if it has none.
func (e *Engine) locate(sh *shard, l *lane) {
	if l.origin == nil && l.known.cursor.IsZero() && (e.opts.LiveOnly || e.startsNow(sh, l.key)) {
		l.origin = new(origin)
		e.starter.open++
	}
}

// located says that the lane has its first cursor, or needs none.
func (e *Engine) located(l *lane) {
	if l.origin != nil {
		l.origin = nil
		e.starter.open--
	}
}

// saw notes the newest server time.
func (s *starter) saw(item *msg.AggregateItem) {
	if s.state == locating {
		s.newest = max(s.newest, item.MaxServerTimestamp)
	}
}

// absent is the mark of an aggregate that was deleted when the subscription
// started. The newest server time by then tells old batches from new ones where no
// notification does.
func (e *Engine) absent() checkpoint.Cursor {
	return checkpoint.Cursor{Deleted: true, Anchor: checkpoint.Anchor{ServerTimestamp: e.starter.newest}}
}

// marked reports whether the cursor is the mark of an aggregate that was deleted when
// the subscription started.
func (k *known) marked() bool { return k.cursor.Deleted && k.cursor.Version == 0 && k.cursor.Life == 0 }

// decision is what a lane without a first cursor does.
type decision uint8

const (
	// whole: all of it is new.
	whole decision = iota
	// behind: it begins behind a batch.
	behind
	// undecided: what was heard says nothing; the list does.
	undecided
)

// decide tells where a lane begins; first is the first version to be delivered.
func (e *Engine) decide(l *lane) (d decision, first uint64) {
	if e.opts.LiveOnly {
		return e.decideLive(l)
	}
	h := &l.heard
	switch {
	case l.origin == nil && !l.known.marked(), l.origin != nil && !l.known.cursor.IsZero() && !l.known.marked(), h.expects.born:
		return whole, 1
	case h.since > 0 && (l.origin == nil || l.origin.listed == 0 || h.since <= l.origin.listed):
		first = h.since
	case l.origin == nil:
		return whole, 1 // batches that are too old are passed over as they are read
	case l.origin.listed > 0:
		first = saturate(l.origin.listed, 1)
	default:
		if sh := e.shardOf(l.shard); sh != nil && sh.starting {
			return undecided, 0
		}
		return whole, 1 // heard of and not listed: created since
	}
	if first <= 1 {
		return whole, 1
	}
	return behind, first
}

// begins reads the batch before the first to be delivered, or lets go of a lane of
// which nothing says where it begins; false when it goes on as any other.
func (e *Engine) begins(l *lane) bool {
	if l.origin == nil && !l.known.marked() {
		return false
	}
	d, first := e.decide(l)
	switch d {
	case undecided:
		l.heard, l.read = heard{}, read{}
		e.located(l)
		e.endPass(l)
	case behind:
		before := first - 1
		if l.origin != nil && l.origin.jumped {
			before = 1
		}
		l.read.begun, l.read.stage, l.read.from, l.read.to = true, begin, before, msg.Some(before)
		e.issue(l)
	default:
		e.located(l)
		return false
	}
	return true
}

// beginning judges the batch the lane is to begin behind.
func (s *situation) beginning(p *Page) verdict {
	batch, anchor, ok := lastAt(p, s.read.from)
	switch {
	case ok:
		cursor := checkpoint.Cursor{Life: s.known.nextLife(), Version: batch.Version, Anchor: anchor}
		return verdict{action: beginBehind, cursor: cursor}
	case !p.Authoritative:
		return verdict{action: askLeader}
	}
	return verdict{action: noBatch}
}

// beginBehind stores the first cursor of a lane. Only then it goes on.
func (e *Engine) beginBehind(l *lane, c checkpoint.Cursor) {
	l.known.cursor = c
	e.verify(l)
	e.release(l)
	e.located(l)
	l.heard.force = l.heard.lifeSince
	l.read = read{}
	e.storeFirst(l)
}

func (e *Engine) storeFirst(l *lane) {
	e.touch(l)
	l.work.phase = adopting
	e.starter.storing++
	e.starter.first = append(e.starter.first, checkpoint.Entry{Key: l.key, Cursor: l.known.cursor})
}

// markAbsent stores the mark of an aggregate that the list calls deleted.
func (e *Engine) markAbsent(sh *shard, l *lane) {
	l.shard = sh.id
	l.known.cursor = e.absent()
	e.located(l)
	e.storeFirst(l)
}

// noBatch looks for the batch to begin behind where a fresh life may have it, or
// begins at the start: it is another life than the list's, or trimmed.
func (e *Engine) noBatch(l *lane, trimmed bool) {
	switch {
	case e.opts.LiveOnly:
		e.sinceStart(l)
		l.heard.since = 0
	case !trimmed && l.origin != nil && !l.origin.jumped && l.read.from > 1:
		l.origin.jumped = true
	default:
		// Where it began is not known, and it is better to deliver all of it than too
		// little.
		e.located(l)
		l.heard.since = 0
	}
	l.read = l.read.anew()
	e.again(l)
}

// stored lets a lane go on whose first cursor is stored.
func (e *Engine) stored(l *lane) {
	e.starter.storing--
	l.work.dirty = l.work.dirty || l.wantsRead() && !l.known.marked()
	e.endPass(l)
}

// tooOld is how many of a page's first batches are older than the start, where the
// aggregate was deleted by then: they became readable again when it was continued.
// The clocks of nodes may differ.
func (k *known) tooOld(batches []msg.Batch) int {
	n := 0
	for n < len(batches) && batches[n].ServerTimestamp+drift < k.notBefore {
		n++
	}
	return n
}

// passOver begins behind batches that are too old.
func (e *Engine) passOver(l *lane, last *msg.Batch, anchor checkpoint.Anchor) {
	l.heard.shows(last)
	e.beginBehind(l, checkpoint.Cursor{Life: l.known.nextLife(), Version: last.Version, Anchor: anchor})
	l.heard.force = true
}

// flushFirst has first cursors stored, and notes the start itself once every
// aggregate has one.
func (e *Engine) flushFirst() {
	s := &e.starter
	if len(s.first) > 0 {
		e.emit(Command{Kind: Adopt, Entries: s.first})
		s.first = nil
	}
	if s.state == locating && s.open+s.storing+s.shards == 0 && len(e.shards) > 0 {
		s.state = noting
		e.emit(Command{Kind: Begin})
	}
}

// Begun says that the start is noted, so that a later run finds it made; started
// tells of which aggregates it was, by now.
func (e *Engine) Begun(now time.Time, started func(msg.Key) bool) {
	e.starter.before = started
	if e.starter.state == noting {
		e.starter.state = made
	}
	e.flow(now)
}
