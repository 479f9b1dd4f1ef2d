package simulation_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// view is what a consumer knows of one aggregate. A view is copied, never changed
// in place.
type view struct {
	below      bool // the cursor is a truncation's
	cursor     checkpoint.Cursor
	last       *entry // the last batch of the present life, nil for none
	lost       []span
	unreadable uint64 // announced since the last batch or life
	parked     bool   // because the next batch is too large
	// doubtful: a truncation hid a change of life that could not be known yet.
	doubtful bool
}

// span is what a Truncated announced.
type span struct{ from, to uint64 }

func (v *view) covers(version uint64) bool {
	for _, s := range v.lost {
		if s.from <= version && version <= s.to {
			return true
		}
	}
	return false
}

// judge is what views are judged by.
type judge struct {
	truth     *truth
	continues bool // ContinueOnly
	quirks    bool
	reliable  func() bool // whether nothing excuses an Unreadable
	doubts    *int
	parked    func() // called when an oversize batch was announced
}

// apply judges one change and follows it; it returns what is wrong with it. The
// caller holds the truth's lock.
func (j *judge) apply(v *view, c *stream.Change) string {
	if c.Moves() {
		v.unreadable, v.parked = 0, false
	}
	switch c.Kind {
	case stream.Batch:
		return j.batch(v, c)
	case stream.Deleted:
		return j.deleted(v, c)
	case stream.Reset:
		return j.reset(v, c)
	case stream.Truncated:
		return j.truncated(v, c)
	case stream.Unreadable:
		return j.unreadable(v, c)
	}
	return fmt.Sprintf("change of kind %v", c.Kind)
}

// unreadable judges that a batch cannot be read: too large a one never can.
func (j *judge) unreadable(v *view, c *stream.Change) string {
	v.unreadable = c.Version
	f := j.truth.facts[c.Key]
	if f != nil && j.blocked(f, v) {
		v.parked = true
		j.parked()
		return ""
	}
	if j.reliable() {
		return "it can be read"
	}
	return ""
}

// blocked reports whether the batch that a view is parked at can never be read. With
// Quirks, reads from the beginning run into earlier lives, and recreations that go
// on counting bring back what was trimmed: what is too large there counts, too.
func (j *judge) blocked(f *fact, v *view) bool {
	// The version named may be in the hole before the batch.
	next := f.next(v)
	if next != nil && next.oversize && (next.version == 0 || v.unreadable <= next.version) {
		return true
	}
	return j.quirks && slices.ContainsFunc(f.log, func(e *entry) bool {
		return e.oversize && (e.version == 0 || e.version == v.unreadable)
	})
}

// next is the batch that a view is to be continued with, nil for none.
func (f *fact) next(v *view) *entry {
	at := max(f.start, f.floor)
	if v.last != nil && v.last.life == f.life {
		at = max(at, v.last.pos+1)
	}
	if at < len(f.log) {
		return f.log[at]
	}
	return nil
}

// expect is the cursor that what follows must have.
func (v *view) expect(version uint64, anchor checkpoint.Anchor) checkpoint.Cursor {
	life := v.cursor.Life
	if v.cursor.Deleted && !marks(v.cursor) {
		life++
	}
	return checkpoint.Cursor{Life: life, Version: version, Anchor: anchor}
}

// marks reports whether a cursor is the mark of an aggregate that was deleted when
// its subscription started.
func marks(c checkpoint.Cursor) bool { return c.Deleted && c.Version == 0 && c.Life == 0 }

// begin forgets what a Deleted made void, once something follows it.
func (v *view) begin() { v.last, v.lost, v.doubtful = nil, nil, false }

func (j *judge) batch(v *view, c *stream.Change) string {
	e := j.truth.entryOf(&c.Batch)
	if e == nil || e.key != c.Key {
		return "nobody wrote this (G8)"
	}
	anchor := checkpoint.AnchorOf(&c.Batch)
	if problem := j.identify(e, c.Batch.Version, anchor); problem != "" {
		return problem
	}
	if floor := v.cursor; !floor.Deleted && v.below && floor.Anchor != (checkpoint.Anchor{}) && e.version == floor.Version+1 && floor.Anchor != anchor {
		return "it is not the batch that the truncation before it was anchored at"
	}
	if want := v.expect(e.version, anchor); c.Cursor != want {
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	}
	f := j.truth.facts[e.key]
	if v.cursor.Deleted {
		if goesOn := j.continues && v.last != nil && e.life == v.last.life && e.pos > v.last.pos; !goesOn {
			v.begin()
		}
	} else if e.version <= v.cursor.Version {
		return fmt.Sprintf("it came after version %d (G1, G3)", v.cursor.Version)
	}
	next := f.startOf(e.life)
	if v.last != nil {
		if v.last.life == e.life {
			next = v.last.pos + 1
		} else if f.floors[e.version] && e.version > v.last.version && (len(v.lost) > 0 || e.version == v.last.version+1) {
			v.doubtful = true
			*j.doubts++
			next = e.pos
		} else {
			return fmt.Sprintf("it is of life %d, the one before of life %d (G1)", e.life, v.last.life)
		}
	}
	for ; next < e.pos; next++ {
		if missing := f.log[next]; !v.doubtful && (missing.version == 0 && len(v.lost) == 0 || missing.version > 0 && !v.covers(missing.version)) {
			return fmt.Sprintf("version %d was left out (G2)", missing.version)
		}
	}
	v.cursor, v.last, v.below = c.Cursor, e, false
	return ""
}

// identify checks that a batch is the same each time it is seen.
func (j *judge) identify(e *entry, version uint64, anchor checkpoint.Anchor) string {
	switch {
	case e.version == 0:
		e.version = version
	case e.version != version:
		return fmt.Sprintf("it was known as version %d (G8)", e.version)
	}
	switch {
	case e.anchor == checkpoint.Anchor{}:
		e.anchor = anchor
	case e.anchor != anchor:
		return fmt.Sprintf("it was seen as %+v and is %+v (G8)", e.anchor, anchor)
	}
	return ""
}

func (j *judge) deleted(v *view, c *stream.Change) string {
	f := j.truth.facts[c.Key]
	want := v.cursor
	want.Deleted = true
	switch {
	case v.cursor.IsZero():
		return "nothing was delivered before"
	case v.cursor.Deleted:
		return "it was announced before"
	case c.Cursor != want:
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	case f == nil || len(f.removals) == 0:
		return "it was never deleted"
	}
	// The delete is news, or was when it was notified: notifications can be late.
	last := f.removals[len(f.removals)-1]
	if v.last != nil && last.pos <= v.last.pos && time.Since(last.issued) > staleness {
		return fmt.Sprintf("the last delete, %v ago, is older than the batch held", time.Since(last.issued))
	}
	v.cursor = want
	return ""
}

// staleness is how long a delete may have been overtaken by what was read.
const staleness = time.Minute

func (j *judge) reset(v *view, c *stream.Change) string {
	f := j.truth.facts[c.Key]
	want := checkpoint.Cursor{Life: v.cursor.Life + 1}
	switch {
	case v.cursor.Version == 0 || v.cursor.Deleted:
		return fmt.Sprintf("nothing is void that was not void before, at %v", v.cursor)
	case c.Cursor != want:
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	case f == nil:
		return "it never existed"
	case v.last != nil && !v.doubtful && v.last.life == f.life && f.peak <= v.cursor.Version:
		return fmt.Sprintf("it is needless: %v is of the present life and was never trimmed", v.cursor)
	}
	*v = view{cursor: want}
	return ""
}

func (j *judge) truncated(v *view, c *stream.Change) string {
	f := j.truth.facts[c.Key]
	// The anchor is that of the batch at the floor, which follows.
	if want := v.expect(c.To, c.Cursor.Anchor); c.Cursor != want {
		return fmt.Sprintf("its cursor is %v, not %v", c.Cursor, want)
	}
	continues := c.From == v.cursor.Version+1 && (!v.cursor.Deleted || j.continues)
	if v.cursor.Deleted && !continues {
		v.begin()
	}
	switch {
	case c.From > c.To:
		return "the range is empty"
	case !continues && (c.From != 1 || v.last != nil):
		return fmt.Sprintf("the range begins at %d behind %v", c.From, v.cursor)
	case f == nil || !f.floors[c.To+1]:
		return fmt.Sprintf("%d was never a trim floor", c.To+1)
	}
	v.cursor, v.below = c.Cursor, true
	v.lost = append(v.lost[:len(v.lost):len(v.lost)], span{c.From, c.To})
	return ""
}

// behind says what of the batches acknowledged by then the consumer lacks, ""
// for nothing.
func (j *judge) behind(f *fact, v *view, by time.Time) string {
	changed := f.deleted || f.reborn != nil
	if v.doubtful || v.unreadable > 0 || changed && (f.turn.IsZero() || f.turn.After(by)) {
		return ""
	}
	if f.deleted {
		if v.last != nil && !v.cursor.Deleted {
			return fmt.Sprintf("it is deleted, the consumer stands at %v", v.cursor)
		}
		return ""
	}
	for _, e := range f.log[max(f.start, f.floor):] {
		known := v.last != nil && v.last.life == e.life && v.last.pos >= e.pos && (!v.cursor.Deleted || j.continues)
		if e.acked.IsZero() || e.acked.After(by) || known || e.version > 0 && v.covers(e.version) {
			continue
		}
		return fmt.Sprintf("version %d (life %d, number %d) is missing at %v", e.version, e.life, e.pos, v.cursor)
	}
	return ""
}

// finally says how a consumer that has come to rest differs from the truth.
func (j *judge) finally(key msg.Key, v *view) string {
	f := j.truth.facts[key]
	switch {
	case f == nil || len(f.log) == 0:
		if !v.cursor.IsZero() {
			return fmt.Sprintf("it never existed, the consumer stands at %v", v.cursor)
		}
		return ""
	case v.doubtful:
		return ""
	case f.deleted:
		if v.last != nil && !v.cursor.Deleted {
			return fmt.Sprintf("it is deleted, the consumer stands at %v", v.cursor)
		}
		return ""
	case v.unreadable > 0 && j.blocked(f, v):
		return ""
	case v.unreadable > 0:
		return fmt.Sprintf("it is parked at version %d", v.unreadable)
	}
	head := f.log[len(f.log)-1]
	if v.cursor.Deleted && (!j.continues || v.last != head) {
		return fmt.Sprintf("it is alive, the consumer stands at %v", v.cursor)
	}
	if v.last != head {
		return fmt.Sprintf("version %d (life %d) is the head, the consumer stands at %v", head.version, head.life, v.cursor)
	}
	return j.behind(f, v, time.Now())
}
