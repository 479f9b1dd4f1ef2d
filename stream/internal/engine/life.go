package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// deliver hands over batches of the lane's life; what follows a deleted cursor
// is the next life.
func (e *Engine) deliver(l *lane, batches []msg.Batch, anchors []checkpoint.Anchor) {
	e.release(l)
	if len(batches) == 0 {
		return
	}
	life := l.nextLife()
	if l.cursor.Deleted || l.cursor.IsZero() {
		l.expects.behind(l.cursor.Deleted)
	}
	changes := e.newChanges(len(batches))
	bytes := int64(0)
	for i := range batches {
		changes[i] = Change{
			Kind: Batch, Key: l.key, Batch: batches[i],
			Cursor: checkpoint.Cursor{Life: life, Version: batches[i].Version, Anchor: anchors[i]},
		}
		bytes += changes[i].Size()
		l.sees(&batches[i])
	}
	l.cursor = changes[len(changes)-1].Cursor
	l.restart, l.bridged, l.silent = false, false, 0
	e.average += (bytes/int64(len(batches)) - e.average) / 8
	e.stats.Batches += uint64(len(batches))
	e.buffered += bytes
	e.emit(Command{Kind: Deliver, Changes: changes, Bytes: bytes})
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

// nextLife is the life of what is delivered next.
func (l *lane) nextLife() uint64 {
	if l.cursor.Deleted {
		return l.cursor.Life + 1
	}
	return l.cursor.Life
}

// announce delivers a change without a batch and moves the cursor to its.
func (e *Engine) announce(l *lane, c Change) {
	c.Key = l.key
	l.cursor, l.unreadable = c.Cursor, 0
	e.emit(Command{Kind: Deliver, Changes: []Change{c}})
}

// endLife announces that the aggregate is deleted, once.
func (e *Engine) endLife(l *lane) {
	if l.listedDeleted {
		// The list's word stands, so nothing was heard since that asks for a read;
		// one could show the aggregate alive.
		l.listedDeleted, l.dirty, l.force = false, false, false
	}
	l.floor, l.redo = 0, false
	l.expects.ended()
	if l.cursor.IsZero() || l.cursor.Deleted {
		return
	}
	c := l.cursor
	c.Deleted = true
	e.announce(l, Change{Kind: Deleted, Cursor: c})
}

// otherLife begins anew: what stands at the cursor is not what was delivered.
// Only the leader's word counts, for a node that lags shows a shorter log. After
// a Deleted nothing is void that was not void before, so nothing is announced.
func (e *Engine) otherLife(now time.Time, l *lane, authoritative bool) {
	if !authoritative {
		e.askLeader(now, l)
		return
	}
	if !l.cursor.Deleted {
		e.announceReset(l)
	}
	l.beginAnew()
	e.again(l)
}

// beginAnew has the lane read from the start of the present life.
func (l *lane) beginAnew() {
	l.restart, l.force = true, true
	l.stage, l.held, l.emptyTo, l.openEnd, l.beyond, l.floor = resume, heldPage{}, 0, false, false, 0
}

func (e *Engine) announceReset(l *lane) {
	l.bridged, l.redo = false, false
	l.expects.began()
	e.announce(l, Change{Kind: Reset, Cursor: checkpoint.Cursor{Life: l.cursor.Life + 1}})
}

// trimmed continues at the floor. Without a doubt about the life only what lies
// between is lost; otherwise the life itself must be doubted.
func (e *Engine) trimmed(now time.Time, l *lane, floor uint64) {
	if l.floor == floor && !l.anchored() && l.floored() && (!l.bridged || !l.suspect) {
		// Announced already: a hole follows the floor.
		l.stage, l.skipFrom = skip, floor
		e.again(l)
		return
	}
	l.stage, l.held, l.emptyTo, l.openEnd, l.beyond = resume, heldPage{}, 0, false, false
	lost := l.cursor.Version + 1
	switch {
	case !e.compares(l) || l.cursor.Deleted:
		// Nothing proves that what follows a delete continues what was deleted.
		lost = 1
	case !e.continuous(l):
		e.announceReset(l)
		lost = 1
	}
	l.floor, l.bridged = floor, lost > 1
	if lost < floor {
		cursor := checkpoint.Cursor{Life: l.nextLife(), Version: floor - 1}
		e.announce(l, Change{Kind: Truncated, From: lost, To: floor - 1, Cursor: cursor})
	}
	l.restart = false
	l.verified, l.suspect = l.readEpoch, l.suspectRead
	l.stage, l.skipFrom = skip, floor
	e.again(l)
}

// continuous reports whether the lane's aggregate was watched without a break
// since its cursor was known to be in step, and neither created nor deleted. What
// another node answers may be ahead of what the watched one has notified.
func (e *Engine) continuous(l *lane) bool {
	sh := e.shardOf(l.shard)
	return l.watched && sh != nil && sh.up() && !l.suspect && l.verified != 0 && l.verified == sh.epoch
}
