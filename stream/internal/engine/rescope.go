package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Rescope changes what is followed. contains, explicit and parts take the place
// of those in Options; the shell opens links with the new filters from now on.
// The watches that are there stay until those with the new filters are
// acknowledged, so that nothing of what stays in the scope is missed. Then every
// shard is reconciled, which finds what is new in it.
func (e *Engine) Rescope(now time.Time, contains func(msg.Key) bool, explicit []msg.Key, parts int) {
	e.opts.Contains, e.opts.Explicit, e.opts.Parts = contains, explicit, parts
	e.setExplicit()
	for _, l := range sortedLanes(e.allLanes(), func(l *lane) bool { return !e.follows(l.key) }) {
		e.expel(l)
	}
	for _, sh := range e.shards {
		e.setSettled(sh, false)
		sh.continuous = false
		sh.list = &noList
		e.startShard(sh)
		wanted := e.partsOf(sh.id)
		for part := range min(wanted, len(sh.links)) {
			e.refilter(now, sh, part)
		}
		e.resize(now, sh, wanted)
		e.subscribed(sh)
	}
	if e.phase == Live {
		e.settle(CatchingUp, 0, nil)
	}
	e.pump(now)
}

// refilter has one link opened with the new filter.
func (e *Engine) refilter(now time.Time, sh *shard, part int) {
	id := Link{Shard: sh.id, Part: part}
	l := &sh.links[part]
	if l.moving != 0 {
		e.emit(Command{Kind: Close, Link: id, Epoch: l.moving})
		l.moving = 0
	}
	switch l.phase {
	case opening:
		e.emit(Command{Kind: Close, Link: id, Epoch: l.epoch})
		e.open(now, sh, part)
	case acked:
		l.outdated = true
		e.move(now, sh, part)
	}
}

// discard closes a link that is no longer needed.
func (e *Engine) discard(sh *shard, part int) {
	id := Link{Shard: sh.id, Part: part}
	l := &sh.links[part]
	if l.moving != 0 {
		e.emit(Command{Kind: Close, Link: id, Epoch: l.moving})
	}
	if l.phase != down {
		e.emit(Command{Kind: Close, Link: id, Epoch: l.epoch})
	}
	e.setPhase(l, down, "")
	e.countLink(l)
	e.stir(sh)
}

func (e *Engine) allLanes() map[*lane]struct{} {
	lanes := make(map[*lane]struct{}, len(e.lanes))
	for _, l := range e.lanes {
		lanes[l] = struct{}{}
	}
	return lanes
}

// expel forgets a lane that is out of the scope, in any state. Requests under way for
// it are not waited for.
func (e *Engine) expel(l *lane) {
	e.caught(l)
	e.located(l)
	e.release(l)
	switch l.work.phase {
	case waiting:
		e.later.stop(&l.work.again)
		e.waiting--
		delete(e.stalled, l)
	case parked:
		e.stats.Parked--
	case onHold:
		e.stats.Held--
	case adopting:
		e.starter.storing--
	case reading:
		for id, reader := range e.reads {
			if reader == l {
				e.reads[id] = nil // it goes on, and counts among the readers
			}
		}
	}
	if l.work.uncommitted {
		l.work.uncommitted = false
		e.uncommitted--
	}
	l.work.expelled = true
	e.forget(l)
}
