package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// A subscription that starts now gives every aggregate that is there already a
// cursor at its newest batch, which is stored before anything behind it is
// delivered: otherwise a later run could not tell an aggregate that was there
// from one that was created while nobody watched. The head is what the list
// shows; where a notification tells of earlier versions that were committed
// since the acknowledgement, it is what lies before those.

// commencing holds a lane back until it has its cursor.
type commencing struct {
	active bool
	// born: created since the acknowledgement, so that all of it is new.
	born bool
	// jumped: there is no batch at the version before, so that the one before is 1:
	// a fresh life jumps from there to above the versions of the earlier ones.
	jumped bool
	// since is the lowest version notified, listed the highest listed; 0 for none.
	since, listed uint64
}

// known reports whether it is clear where the lane begins.
func (c *commencing) known() bool { return c.born || c.since > 0 || c.listed > 0 }

// from is the first version to be delivered.
func (c *commencing) from() uint64 {
	switch {
	case c.born:
		return 1
	case c.since > 0 && (c.listed == 0 || c.since <= c.listed):
		return c.since
	}
	return saturate(c.listed, 1)
}

// heardOf takes from a notification where the lane begins.
func (c *commencing) heardOf(n *msg.Notification) {
	switch n.Operation {
	case msg.OpCreate:
		c.born = true
	case msg.OpWrite:
		if from := n.From.Or(n.To.Or(0)); from > 0 && (c.since == 0 || from < c.since) {
			c.since = from
		}
	}
}

// commence makes a new lane wait for its first cursor while its shard commences,
// or the members that a changed scope has more than the one before.
func (e *Engine) commence(sh *shard, l *lane) {
	if sh.commencing && (e.base == nil || !e.base(l.key)) {
		l.start.active = true
		e.commencing++
	}
}

// commenced ends that wait.
func (e *Engine) commenced(l *lane) {
	if l.start.active {
		l.start = commencing{}
		e.commencing--
	}
}

// commenceRead begins with the batch before the first one to be delivered; false
// when everything is to be delivered.
func (e *Engine) commenceRead(l *lane) bool {
	from := l.start.from()
	if !l.known.cursor.IsZero() || from <= 1 {
		e.commenced(l)
		return false
	}
	before := from - 1
	if l.start.jumped {
		before = 1
	}
	l.read.begun, l.read.stage, l.read.from, l.read.to = true, begin, before, msg.Some(before)
	return true
}

// beginning judges the batch the lane is to begin behind.
func (s *situation) beginning(p *Page) verdict {
	batch, anchor, ok := lastAt(p, s.read.from)
	switch {
	case ok:
		return verdict{action: beginBehind, cursor: checkpoint.Cursor{Version: batch.Version, Anchor: anchor}}
	case !p.Authoritative:
		return verdict{action: askLeader}
	}
	return verdict{action: noBatch}
}

// beginBehind stores the first cursor of a lane.
func (e *Engine) beginBehind(l *lane, c checkpoint.Cursor) {
	l.known.cursor = c
	e.verify(l)
	e.release(l)
	e.commenced(l)
	l.heard.force = l.heard.lifeSince
	l.read, l.work.phase = read{}, adopting
	e.adopting++
	e.adopted = append(e.adopted, checkpoint.Entry{Key: l.key, Cursor: c})
}

// noBatch looks for the batch to begin behind where a fresh life may have it, or
// begins at the start: it is another life than the list's, or trimmed.
func (e *Engine) noBatch(l *lane, trimmed bool) {
	if !trimmed && !l.start.jumped && l.read.stage == begin && l.read.from > 1 {
		l.start.jumped = true
	} else {
		// Where it began is not known, and it is better to deliver all of it than too
		// little.
		e.commenced(l)
	}
	l.read = l.read.anew()
	e.again(l)
}

// adopt lets a lane go on whose first cursor is stored.
func (e *Engine) adopt(now time.Time, l *lane) {
	e.adopting--
	l.work.dirty = l.work.dirty || l.wantsRead()
	e.endPass(l)
}

// commencedShard ends the start of a shard: it has been listed to its end.
// Aggregates that were heard of and not listed were created since, or deleted.
func (e *Engine) commencedShard(sh *shard) {
	if !sh.commencing {
		return
	}
	sh.commencing = false
	for _, l := range sortedLanes(e.held, func(l *lane) bool { return l.shard == sh.id }) {
		delete(e.held, l)
		e.commenced(l)
		if l.work.phase == idle && l.work.dirty {
			e.enqueue(l)
		}
	}
}

// flushAdopted has first cursors stored, and notes the start itself once every
// aggregate has one.
func (e *Engine) flushAdopted() {
	if len(e.adopted) > 0 {
		e.emit(Command{Kind: Adopt, Entries: e.adopted})
		e.adopted = nil
	}
	if !e.starting || e.commencing > 0 || e.adopting > 0 || len(e.shards) == 0 {
		return
	}
	for _, sh := range e.shards {
		if sh.commencing {
			return
		}
	}
	e.base, e.starting = e.opts.Contains, false
	if !e.started && !e.beginning {
		e.beginning = true
		e.emit(Command{Kind: Begin})
	}
}

// Begun says that the start is noted: a later run finds it made.
func (e *Engine) Begun(now time.Time) {
	e.started = true
	e.pump(now)
}
