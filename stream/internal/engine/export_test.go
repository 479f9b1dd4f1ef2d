package engine

import (
	"reflect"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Accessors that tests have beside commands and statistics.

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
	switch r := &l.read; {
	case r.stage == resume && r.openEnd:
		return "open end"
	case r.stage == resume && r.scannedTo > 0:
		return "hole"
	case r.stage == confirm && l.known.floored():
		return "confirm floor"
	}
	return [...]string{resume: "resume", first: "first", skip: "skip", confirm: "confirm", probe: "probe", begin: "commence", succeed: "succeed"}[l.read.stage]
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

// Missed says what the engine would not notice in time, or has counted wrongly; ""
// for nothing.
func (e *Engine) Missed(now time.Time) string {
	if e.stopped {
		return ""
	}
	if !reflect.ValueOf(noList).IsZero() {
		return "a list that is not active has changed"
	}
	up, current := 0, 0
	ackedLinks, openingLinks, links := 0, 0, 0
	for _, sh := range e.shards {
		if sh.up() {
			up++
		}
		if sh.current() {
			current++
		}
		for i := range sh.links {
			switch l := &sh.links[i]; {
			case l.phase == acked:
				ackedLinks++
				if at := l.lastFrame.Add(e.opts.Liveness); sh.due.place == 0 || sh.due.at.After(at) {
					return "a silent link is noticed too late"
				}
			case l.phase == opening:
				openingLinks++
			case !e.disconnected() && !l.queued && (sh.due.place == 0 || sh.due.at.After(l.pace.until)):
				return "a link is opened too late"
			}
			links++
		}
		l := sh.list
		switch {
		case l.active && !l.asked && l.pace.ready(now) && (sh.settled || sh.up()) && !sh.waitsForPage && !sh.stirred:
			return "a list goes on too late"
		case sh.settled && !l.active && sh.overflowed && !sh.waitsForRelist && !sh.stirred:
			return "dropped hints are looked for too late"
		case sh.settled && !l.active && !sh.reconcileAt.IsZero() && (sh.due.place == 0 || sh.due.at.After(sh.reconcileAt)):
			return "a reconcile begins too late"
		case sh.settled && !l.active && sh.peekAt.After(now) && (sh.due.place == 0 || sh.due.at.After(sh.peekAt)):
			return "a late look begins too late"
		}
	}
	if e.queued() < backlog && e.toList.len() > 0 {
		return "a page is not asked for although there is room"
	}
	ackedAt := 0
	for _, n := range e.acked {
		ackedAt += n
	}
	if up != e.shardCounts.up || current != e.shardCounts.current || ackedLinks != ackedAt || openingLinks != e.opening || links != e.links {
		return "shards or links are counted wrongly"
	}
	if wrong := e.miscounted(now); wrong != "" {
		return wrong
	}
	waits, uncommitted := 0, 0
	for _, l := range e.lanes {
		if l.waitsForCommit() {
			uncommitted++
		}
		if l.work.phase == waiting {
			waits++
			if l.work.again.place == 0 {
				return "a lane waits for ever"
			}
		}
	}
	if uncommitted != e.uncommitted {
		return "lanes that are not committed are counted wrongly"
	}
	if waits != e.waiting {
		return "lanes that wait are counted wrongly"
	}
	if n := len(e.free); n > 0 && (e.refers(e.free[n-1]) || slices.Contains(e.free[:n-1], e.free[n-1])) {
		return "a forgotten lane is at work" // the one forgotten last is looked at
	}
	return ""
}

// miscounted names the first of the sums that differs from what is there; "" for none.
func (e *Engine) miscounted(now time.Time) string {
	var want Stats
	settled, nodes := 0, make(map[string]watchedNode)
	for _, sh := range e.shards {
		if behind := sh.follow.behind; !behind.IsZero() {
			want.Lag = max(want.Lag, now.Sub(behind))
		}
		for i := range sh.links {
			if l := &sh.links[i]; l.phase == acked {
				n := nodes[l.node]
				n.links++
				if l.leads {
					n.leading++
				}
				if l.disputed {
					n.disputed++
				}
				nodes[l.node] = n
			}
		}
		if sh.settled {
			settled++
		}
		if sh.list.active && !sh.list.peek {
			want.Listing++
			want.Listed += len(sh.list.seen)
		}
	}
	var unhandled uint64
	var oldest time.Time
	for _, l := range e.lanes {
		want.Behind += l.behind()
		n := l.unhandled()
		unhandled += n
		if n > 0 && !l.since.IsZero() && (oldest.IsZero() || l.since.Before(oldest)) {
			oldest = l.since
		}
	}
	switch got, pending := e.Stats(now), e.counts.pending.oldest(); {
	case len(nodes) != len(e.shardCounts.nodes):
		return "nodes are counted wrongly"
	case settled != e.shardCounts.settled:
		return "settled shards are counted wrongly"
	case got.Listing != want.Listing || got.Listed != want.Listed:
		return "lists are counted wrongly"
	case got.Lag != want.Lag:
		return "the lag of followers is measured wrongly"
	case got.Behind != want.Behind:
		return "versions behind are counted wrongly"
	case unhandled != e.counts.unhandled:
		return "unhandled versions are counted wrongly"
	case !oldest.Equal(pending):
		return "the oldest unhandled change is another one"
	}
	for node, n := range e.shardCounts.nodes {
		if *n != nodes[node] {
			return "the links of a node are counted wrongly"
		}
	}
	return ""
}

func (e *Engine) refers(to *lane) bool {
	refers := to.work.again.place > 0
	for _, l := range e.lanes {
		refers = refers || l == to
	}
	for _, l := range e.reads {
		refers = refers || l == to
	}
	for _, ld := range e.loads {
		refers = refers || slices.Contains(ld.lanes, to)
	}
	return refers || slices.Contains(e.ready.ring, to) || slices.Contains(e.unloaded.ring, to)
}

// Exiles tells for how long followers are left that were kept so long in turn and lagged.
func Exiles(kept ...time.Duration) []time.Duration {
	var f follow
	now, exiles := time.Unix(1_700_000_000, 0), make([]time.Duration, len(kept))
	for i := range kept {
		if now.Before(f.exiled) {
			now = f.exiled
		}
		now = now.Add(kept[i])
		f.exile(now)
		f.exile(now) // that changes nothing while it is left
		exiles[i] = f.exiled.Sub(now)
	}
	return exiles
}

// Reconciling reports whether the list of a shard is under way; a look at what is new is
// none.
func (e *Engine) Reconciling() bool {
	return slices.ContainsFunc(e.shards, func(sh *shard) bool { return sh.list.active && !sh.list.peek })
}
