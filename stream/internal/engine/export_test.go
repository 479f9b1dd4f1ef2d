package engine

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// What tests may see beside commands and statistics.

// Lanes is how many aggregates the engine holds state of.
func (e *Engine) Lanes() int { return len(e.lanes) }

// Resting is the cursor held of an aggregate at rest, zero if there is none.
func (e *Engine) Resting(key msg.Key) checkpoint.Cursor {
	if e.recent.places == nil {
		return checkpoint.Cursor{}
	}
	if p := e.recent.place(key); p.key == key {
		return p.cursor
	}
	return checkpoint.Cursor{}
}

// Purpose names what a read under way is for.
func (e *Engine) Purpose(id uint64) string {
	l, ours := e.reads[id]
	switch {
	case !ours:
		return "none"
	case l == nil:
		return "dropped"
	}
	switch {
	case l.stage == resume && l.openEnd:
		return "open end"
	case l.stage == resume && l.emptyTo > 0:
		return "hole"
	case l.stage == confirm && l.floored():
		return "confirm floor"
	}
	return [...]string{resume: "resume", first: "first", skip: "skip", confirm: "confirm", probe: "probe", commence: "commence", succeed: "succeed"}[l.stage]
}

// Overflowed reports whether hints of some shard were dropped.
func (e *Engine) Overflowed() bool {
	for _, sh := range e.shards {
		if sh.overflowed {
			return true
		}
	}
	return false
}

// Missed says what the engine would not notice in time, or take for something
// else; "" for nothing.
func (e *Engine) Missed(now time.Time) string {
	at := e.wakeShards(now).at
	switch {
	case e.stopped:
	case !e.stirred && e.shardsWake.known && !at.IsZero() && (e.shardsWake.at.IsZero() || e.shardsWake.at.After(at)):
		return "a shard is due before the engine wakes for it"
	default:
		for _, sh := range e.shards {
			if !e.stirred && !sh.quiet(now) && (sh.peekAt.IsZero() || now.Before(sh.peekAt)) {
				return "a shard has something to do and is left alone"
			}
		}
	}
	if n := len(e.free); n > 0 && (e.refers(e.free[n-1]) || slices.Contains(e.free[:n-1], e.free[n-1])) {
		return "a forgotten lane is at work" // the one forgotten last is looked at
	}
	return ""
}

func (e *Engine) refers(to *lane) bool {
	refers := false
	for _, l := range e.lanes {
		refers = refers || l == to
	}
	for _, l := range e.reads {
		refers = refers || l == to
	}
	for _, ld := range e.loads {
		refers = refers || slices.Contains(ld.lanes, to)
	}
	_, waiting := e.waiting[to]
	_, held := e.held[to]
	return refers || waiting || held || slices.Contains(e.ready.ring, to) || slices.Contains(e.unloaded.ring, to)
}
