package engine_test

import (
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// view is what a consumer knows of one aggregate. A view is copied, never
// changed in place: held only grows behind a copy's length.
type view struct {
	cursor checkpoint.Cursor
	last   *entry   // the last batch of the present life, nil for none
	held   []*entry // since the last Deleted or Reset
	lost   []span
	// unreadable is the version announced as such since the last batch or life.
	unreadable   uint64
	unreadableAt uint64
	// seq is what the node had applied when the last batch was read.
	seq uint64
	// deletedAt is where the truth was when Deleted was delivered.
	deletedAt uint64
	// doubtful: a truncation hid a change of life that could not be known yet.
	doubtful bool
}

type span struct{ from, to uint64 }

func (v *view) covers(version uint64) bool {
	for _, s := range v.lost {
		if s.from <= version && version <= s.to {
			return true
		}
	}
	return false
}

// apply judges one change against the truth and follows it; it returns what is
// wrong with it.
func (o *oracle) apply(v *view, c *engine.Change) string {
	switch c.Kind {
	case engine.Batch:
		return o.batch(v, c)
	case engine.Deleted:
		return o.deleted(v, c)
	case engine.Reset:
		return o.reset(v, c)
	case engine.Truncated:
		return o.truncated(v, c)
	case engine.Unreadable:
		return o.unreadable(v, c)
	}
	return fmt.Sprintf("change of kind %d", c.Kind)
}

// expect is the cursor that version of what follows must have.
func (v *view) expect(version uint64, anchor checkpoint.Anchor) checkpoint.Cursor {
	life := v.cursor.Life
	if v.cursor.Deleted {
		life++
	}
	return checkpoint.Cursor{Life: life, Version: version, Anchor: anchor}
}

// begin forgets what a Deleted made void, once something follows it.
func (v *view) begin() { v.last, v.held, v.lost = nil, nil, nil }

func (o *oracle) batch(v *view, c *engine.Change) string {
	e := o.truth.entryOf(&c.Batch)
	if e == nil || e.key != c.Key || checkpoint.AnchorOf(&c.Batch) != e.anchor || c.Batch.Version != e.version() {
		return "the content is not what was committed"
	}
	if want := v.expect(e.version(), e.anchor); c.Cursor != want {
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	}
	f := o.truth.facts[e.key]
	if v.cursor.Deleted {
		continues := o.set.ContinueOnly && v.last != nil && e.life == v.last.life && e.pos > v.last.pos
		if continues {
			o.seen["continued after Deleted"]++
		} else {
			v.begin()
		}
		if f := o.truth.facts[e.key]; !o.set.Quirks && f.deleted && f.turn() <= v.deletedAt {
			return fmt.Sprintf("it is of the life that commit %d ended, which was announced (G8)", f.removed)
		}
	} else if e.version() <= v.cursor.Version {
		return fmt.Sprintf("it came after version %d (G1, G3)", v.cursor.Version)
	}
	next := f.startOf(e.life)
	if v.last != nil {
		if v.last.life != e.life {
			if !o.hidden(v, e) {
				return "it is of another life than the one before (G1)"
			}
			v.doubtful = true
			o.seen["doubtful"]++
			next = e.pos
		} else {
			next = v.last.pos + 1
		}
	}
	for ; next < e.pos; next++ {
		if missing := f.log[next]; !v.covers(missing.version()) && !v.doubtful {
			return fmt.Sprintf("version %d was left out (G2)", missing.version())
		}
	}
	v.cursor, v.last, v.unreadable, v.seq = c.Cursor, e, 0, o.readSeq
	v.held = append(v.held, e)
	return ""
}

// hidden reports whether a change of life could not be known: the cursor's batch
// was trimmed away and no notification of the change has arrived.
func (o *oracle) hidden(v *view, e *entry) bool {
	f := o.truth.facts[e.key]
	return f.floors[e.version()] && e.version() > v.last.version() && o.heardOf[e.key] < f.turn()
}

func (o *oracle) deleted(v *view, c *engine.Change) string {
	want := v.cursor
	want.Deleted = true
	f := o.truth.facts[c.Key]
	switch {
	case v.cursor.IsZero():
		return "nothing was delivered before"
	case v.cursor.Deleted:
		return "it was announced before"
	case c.Cursor != want:
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	case f == nil || f.removed == 0:
		return "it was never deleted"
	case !f.deleted && v.last != nil && f.removed < v.last.seq && o.heardOf[c.Key] >= f.reborn:
		return fmt.Sprintf("the delete %d is older than the batch held, and the recreation %d was notified", f.removed, f.reborn)
	}
	delete(o.redo, c.Key)
	v.cursor, v.unreadable, v.deletedAt = want, 0, o.shown()
	return ""
}

func (o *oracle) reset(v *view, c *engine.Change) string {
	f := o.truth.facts[c.Key]
	want := checkpoint.Cursor{Life: v.cursor.Life + 1}
	switch {
	case v.cursor.Version == 0 || v.cursor.Deleted:
		return fmt.Sprintf("nothing is void that was not void before, at %v", v.cursor)
	case c.Cursor != want:
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	case !o.redo[c.Key] && v.last != nil && v.last.life == f.life && f.peak <= v.cursor.Version:
		return fmt.Sprintf("it is needless: %v is of the present life and was never trimmed", v.cursor)
	}
	if o.redo[c.Key] {
		delete(o.redo, c.Key)
		o.redone[c.Key] = want.Life
	}
	doubtful := v.doubtful
	*v = view{cursor: want, seq: v.seq, doubtful: doubtful}
	return ""
}

func (o *oracle) truncated(v *view, c *engine.Change) string {
	f := o.truth.facts[c.Key]
	anchor := checkpoint.Anchor{}
	for _, e := range f.log {
		if e.version() == c.To+1 && e.anchor == c.Cursor.Anchor {
			anchor = e.anchor // of the batch at the floor
			o.seen["anchored at a floor"]++
		}
	}
	if want := v.expect(c.To, anchor); c.Cursor != want {
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	}
	continues := c.From == v.cursor.Version+1 && !v.cursor.Deleted
	if v.cursor.Deleted && o.set.ContinueOnly && c.From == v.cursor.Version+1 {
		continues = true
	}
	if v.cursor.Deleted && !continues {
		v.begin()
	}
	switch {
	case c.From > c.To:
		return "the range is empty"
	case !continues && (c.From != 1 || v.last != nil):
		return fmt.Sprintf("the range begins at %d behind %v", c.From, v.cursor)
	case !f.floors[c.To+1]:
		return fmt.Sprintf("%d was never a trim floor", c.To+1)
	}
	v.cursor, v.unreadable = c.Cursor, 0
	v.lost = append(v.lost[:len(v.lost):len(v.lost)], span{c.From, c.To})
	return ""
}

func (o *oracle) unreadable(v *view, c *engine.Change) string {
	switch {
	case c.Cursor != checkpoint.Cursor{}:
		return "it has a cursor"
	case v.unreadable == c.Version && (o.truth.facts[c.Key] == nil || o.truth.facts[c.Key].turn() < v.unreadableAt):
		return "it was announced before"
	}
	if !o.blocked(c.Key, c.Version) {
		if o.silences[c.Key] < 2 {
			return "it can be read"
		}
		o.seen["parked by accident"]++
		o.parked[c.Key] = true
	}
	v.unreadable, v.unreadableAt = c.Version, o.truth.seq
	return ""
}

// blocked reports whether the node cannot answer a read of that version alone.
func (o *oracle) blocked(key msg.Key, version uint64) bool {
	f := o.truth.facts[key]
	if f == nil {
		return false
	}
	firsts := int64(0)
	for _, e := range f.log {
		stored := e.stored
		if o.set.Quirks {
			stored *= 2 // a batch may be there twice
		}
		if e.version() == version && stored > o.set.Accepts {
			return true
		}
		if e.version() == 1 {
			// A read of version 1 may have to answer the first batch of each life.
			firsts += 2 * e.stored
		}
	}
	return version == 1 && firsts > o.set.Accepts
}
