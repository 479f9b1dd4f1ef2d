package engine

import "time"

// A step works only on the shards that were stirred: something happened to them, or
// they are due. The others cost nothing.

// stir has a shard looked at in this step.
func (e *Engine) stir(sh *shard) {
	if !sh.stirred {
		sh.stirred = true
		e.stirred = append(e.stirred, sh)
	}
}

// pumpShards goes on with the lists of shards that were stirred, and asks for
// pages and opens links where there is room.
func (e *Engine) pumpShards(now time.Time) {
	for i := 0; i < len(e.stirred); i++ {
		sh := e.stirred[i]
		sh.stirred = false
		e.tickListing(now, sh)
		e.wantPage(now, sh)
		e.count(sh)
		e.arm(now, sh)
	}
	e.stirred = e.stirred[:0]
	e.pumpPages(now)
	e.pumpOpens(now)
}

// current reports whether the shard holds CaughtUp up no more. One that was moved is
// settled, but not reconciled yet; one that may be watched at a node that was deposed
// hears nothing of what another node commits.
func (s *shard) current() bool {
	return s.settled && (!s.list.active || s.list.peek) && !s.disputed()
}

// arm has the shard looked at when the first thing of it is due. Frames put off
// when a link is silent, which is noticed when that time has come.
func (e *Engine) arm(now time.Time, sh *shard) {
	var w wake
	for i := range sh.links {
		switch l := &sh.links[i]; {
		case l.phase == down && !e.disconnected() && !l.queued:
			w.consider(l.pace.until)
		case l.phase == acked:
			w.consider(l.lastFrame.Add(e.opts.Liveness))
		}
	}
	switch {
	case sh.list.active && !sh.list.asked:
		w.later(now, sh.list.pace.until)
	case sh.settled && !sh.list.active:
		w.consider(sh.reconcileAt)
		w.later(now, sh.peekAt)
	}
	if w.at.IsZero() {
		e.later.stop(&sh.due)
		return
	}
	sh.due.shard = sh
	e.later.set(&sh.due, w.at)
}

// wake is the earliest of some times; zero for never.
type wake struct{ at time.Time }

func (w *wake) consider(t time.Time) {
	if !t.IsZero() && (w.at.IsZero() || t.Before(w.at)) {
		w.at = t
	}
}

// later considers what, when it is due and still stands, waits for room, not for
// time.
func (w *wake) later(now, t time.Time) {
	if t.After(now) {
		w.consider(t)
	}
}

// setPhase moves a link, and counts links by phase and by the node watched.
func (e *Engine) setPhase(l *link, p linkPhase, node string) {
	if l.phase == acked {
		e.acked[l.node]--
		if e.acked[l.node] == 0 {
			delete(e.acked, l.node)
		}
	}
	if l.phase == opening {
		e.opening--
	}
	l.phase, l.node = p, node
	if p == acked {
		e.acked[node]++
	}
	if p == opening {
		e.opening++
	}
}

// slot names a link that waits to be opened.
type slot struct {
	shard *shard
	part  int
}

// wantOpen has a link opened as soon as few enough others are being opened.
func (e *Engine) wantOpen(sh *shard, part int) {
	if l := &sh.links[part]; !l.queued {
		l.queued = true
		e.toOpen.push(slot{sh, part})
	}
}

// pumpOpens opens links, so many at a time.
func (e *Engine) pumpOpens(now time.Time) {
	for e.toOpen.len() > 0 && e.opening < maxOpening {
		s := e.toOpen.pop()
		if s.part < len(s.shard.links) && s.shard.links[s.part].queued {
			s.shard.links[s.part].queued = false
			if s.shard.links[s.part].phase == down {
				e.open(now, s.shard, s.part)
			}
		}
	}
}

// openLater forgets which links wait to be opened: the node cannot be reached.
func (e *Engine) openLater() {
	for e.toOpen.len() > 0 {
		if s := e.toOpen.pop(); s.part < len(s.shard.links) {
			s.shard.links[s.part].queued = false
		}
	}
}
