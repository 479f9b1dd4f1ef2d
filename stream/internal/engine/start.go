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
		l.commence.active = true
		e.commencing++
	}
}

// commenced ends that wait.
func (e *Engine) commenced(l *lane) {
	if l.commence.active {
		l.commence = commencing{}
		e.commencing--
	}
}

// commenceRead begins with the batch before the first one to be delivered; false
// when everything is to be delivered.
func (e *Engine) commenceRead(l *lane) bool {
	from := l.commence.from()
	if !l.cursor.IsZero() || from <= 1 {
		e.commenced(l)
		return false
	}
	before := from - 1
	if l.commence.jumped {
		before = 1
	}
	l.stage, l.from, l.to = commence, before, msg.Some(before)
	return true
}

// commencedAt judges the batch the lane is to begin behind.
func (e *Engine) commencedAt(now time.Time, l *lane, p *Page) {
	batch, anchor, ok := lastAt(p, l.from)
	switch {
	case ok:
		l.cursor = checkpoint.Cursor{Version: batch.Version, Anchor: anchor}
		e.verify(l)
		e.release(l)
		e.commenced(l)
		l.stage, l.leader, l.phase = resume, false, adopting
		l.force = l.suspectRead
		e.adopting++
		e.adopted = append(e.adopted, checkpoint.Entry{Key: l.key, Cursor: l.cursor})
	case !p.Authoritative:
		e.askLeader(now, l)
	case !l.commence.jumped && l.from > 1:
		l.commence.jumped = true
		e.anew(l)
	default:
		// Another life than the list's: where it began is not known, and it is
		// better to deliver all of it than too little.
		e.commenced(l)
		e.anew(l)
	}
}

// adopt lets a lane go on whose first cursor is stored.
func (e *Engine) adopt(now time.Time, l *lane) {
	e.adopting--
	l.dirty = l.dirty || l.needsRead()
	e.endPass(now, l)
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
		if l.phase == idle && l.dirty {
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
