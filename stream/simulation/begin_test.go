package simulation_test

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// beginning is where a consumer starts that takes nothing of what was there before.
type beginning struct {
	made bool // noted in the store: later runs deliver from its beginning what they do not know
	// since says, of each aggregate whose start was made, when its shard was
	// watched first in the run that made it.
	since map[msg.Key]time.Time
}

// placeOf names a batch by what a cursor knows of it.
type placeOf struct {
	key     msg.Key
	version uint64
	anchor  checkpoint.Anchor
}

// seen notes what is read, so that a cursor can be told from a guess.
func (t *truth) seen(key msg.Key, batches []msg.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range batches {
		if e := t.entryOf(&batches[i]); e != nil && e.key == key {
			t.places[placeOf{key, batches[i].Version, checkpoint.AnchorOf(&batches[i])}] = e
		}
	}
}

// began takes over what is stored and was never handled: the subscription's own
// cursors, behind which it begins.
func (c *consumer) began(entries []checkpoint.Entry) {
	if c.opts.Start != stream.FromNow {
		return // goBack finds them
	}
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	for _, entry := range entries {
		f := c.sim.truth.facts[entry.Key]
		if _, handled := c.handled[entry.Key][entry.Cursor]; handled {
			continue
		}
		marked := marks(c.views[entry.Key].cursor)
		e := c.sim.truth.places[placeOf{entry.Key, entry.Cursor.Version, entry.Cursor.Anchor}]
		switch {
		case f == nil && entry.Key.Org != org:
			c.begin.made = true // the mark of the start itself
			c.sim.count("starts made")
			continue
		case marks(entry.Cursor) && (c.views[entry.Key].cursor.IsZero() || c.roaming != nil) && (!c.begin.made || c.roaming != nil):
			c.sim.count("marks of deleted aggregates")
		case e == nil:
			c.sim.failf("%s: it starts %d behind %v, which nobody has read", c.name, number(entry.Key), entry.Cursor)
			continue
		case !marked && !c.views[entry.Key].cursor.IsZero() && c.roaming == nil:
			c.sim.failf("%s: it starts %d behind %v, and stands at %v", c.name, number(entry.Key), entry.Cursor, c.views[entry.Key].cursor)
		case !marked && c.begin.made && c.roaming == nil:
			c.sim.failf("%s: it starts %d behind %v, and the start was made", c.name, number(entry.Key), entry.Cursor)
		}
		if e != nil && c.roaming == nil && c.present().source.toldOf(entry.Key, entry.Cursor.Version) && len(f.removals) == 0 {
			c.sim.failf("%s: it starts %d behind %v, and was told of what came before that", c.name, number(entry.Key), entry.Cursor)
		}
		v := view{cursor: entry.Cursor, last: e}
		c.views[entry.Key] = v
		if c.roaming != nil {
			delete(c.roaming.back, entry.Key)
		}
		if c.handled[entry.Key] == nil {
			c.handled[entry.Key] = make(map[checkpoint.Cursor]view)
		}
		c.handled[entry.Key][entry.Cursor] = v
		c.begin.since[entry.Key] = c.present().watchedSince(c.sim.shardOf(entry.Key))
		c.sim.count("cursors to start behind")
	}
}

// older says what is wrong with a batch that a start should have left out.
func (c *consumer) older(p *process, change *stream.Change) string {
	if c.opts.Start != stream.FromNow || change.Kind != stream.Batch {
		return ""
	}
	f, e := c.sim.truth.facts[change.Key], c.sim.truth.entryOf(&change.Batch)
	since, known := c.begin.since[change.Key]
	switch {
	case known:
		c.sim.count("changes behind a start")
	case !c.views[change.Key].cursor.IsZero() || p.begun:
		return "" // created since
	default:
		since = p.watchedSince(c.sim.shardOf(change.Key))
	}
	// Where a life began that the list did not show is not known, nor what lies behind
	// a batch that cannot be read: then all is delivered. And to a follower is new what
	// it comes to show.
	excused := f == nil || len(f.removals) > 0 || f.oversize || c.opts.Followers
	if e == nil || excused || e.acked.IsZero() || since.IsZero() || !e.acked.Before(since) {
		return ""
	}
	return "it is older than the start"
}

// toldOf reports whether a version was heard of, or one before it: what is heard of
// was committed after the acknowledgement.
func (u *unhurried) toldOf(key msg.Key, version uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	low, known := u.told[key]
	return known && low <= version
}

// watchedSince is when a shard was first watched.
func (p *process) watchedSince(shard uint64) time.Time {
	p.source.mu.Lock()
	defer p.source.mu.Unlock()
	return p.source.first[shard]
}
