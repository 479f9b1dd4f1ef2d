package engine

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// load is one look-up of cursors under way: of lanes about to work, or of the
// keys of a list page (lanes nil).
type load struct {
	keys  []msg.Key
	lanes []*lane
	shard uint64
	list  uint64 // of the shard, whose page it is
	// old are keys whose cursor was committed while the look-up was under way.
	old map[msg.Key]struct{}
}

func (ld *load) outdate(key msg.Key) {
	if ld == nil || ld.lanes != nil {
		return // a lane being loaded is never forgotten
	}
	if ld.old == nil {
		ld.old = make(map[msg.Key]struct{})
	}
	ld.old[key] = struct{}{}
}

func (ld *load) outdated(key msg.Key) bool {
	_, ok := ld.old[key]
	return ok
}

func (e *Engine) emitLoad(ld *load) {
	id := e.id()
	e.loads[id] = ld
	if ld.lanes == nil {
		e.shards[ld.shard].looking = ld
	}
	e.emit(Command{Kind: Load, ID: id, Keys: ld.keys})
}

// takeLoad returns the look-up that was answered, nil for none.
func (e *Engine) takeLoad(id uint64) *load {
	ld := e.loads[id]
	delete(e.loads, id)
	if ld == nil || ld.lanes != nil {
		return ld
	}
	if sh := e.shards[ld.shard]; sh.looking == ld {
		sh.looking = nil
	}
	return ld
}

// pumpLoads looks up the cursors of queued lanes, many at a time, one look-up
// under way.
func (e *Engine) pumpLoads(now time.Time) {
	if e.unloaded.len() == 0 || !e.loadPace.ready(now) {
		return
	}
	if e.lanesLoading > 0 {
		return
	}
	n := min(e.unloaded.len(), lookup)
	ld := e.answered
	if e.answered = nil; ld == nil {
		ld = &load{keys: make([]msg.Key, 0, n), lanes: make([]*lane, 0, n)}
	}
	for e.unloaded.len() > 0 && len(ld.lanes) < n {
		l := e.unloaded.pop()
		if l.work.expelled {
			continue
		}
		l.work.phase = loading
		ld.lanes, ld.keys = append(ld.lanes, l), append(ld.keys, l.key)
	}
	e.lanesLoading = len(ld.lanes)
	if len(ld.lanes) > 0 {
		e.emitLoad(ld)
	} else {
		e.keep(ld)
	}
}

// keep has the next look-up of lanes use the memory of one that was answered.
func (e *Engine) keep(ld *load) {
	clear(ld.lanes)
	ld.keys, ld.lanes = ld.keys[:0], ld.lanes[:0]
	e.answered = ld
}

// Loaded answers Load.
func (e *Engine) Loaded(now time.Time, id uint64, cursors []checkpoint.Cursor) {
	e.heardAt = now
	ld := e.takeLoad(id)
	if ld == nil {
		return
	}
	e.loadPace.succeeded(now, e.opts.Healthy)
	if ld.lanes != nil {
		e.lanesLoading = 0
	}
	if ld.lanes == nil {
		if sh := e.shards[ld.shard]; sh.lists == ld.list && sh.list.asked {
			e.compare(now, sh, ld, cursors)
		}
	}
	for i, l := range ld.lanes {
		if l.work.expelled {
			continue
		}
		c := latest(cursors[i], l.known.committed)
		if l.known.redoLife > 0 && c.Life >= l.known.redoLife {
			l.work.redo = false // what a hold took for dropped was being stored
		}
		l.setLoaded(c)
		l.work.phase = idle
		e.enqueue(l)
	}
	if ld.lanes != nil {
		e.keep(ld)
	}
	e.flow(now)
}

// LoadFailed answers Load. The look-up is made again: a page's with the page,
// since by then other cursors may have moved.
func (e *Engine) LoadFailed(now time.Time, id uint64, f Failure) {
	ld := e.takeLoad(id)
	if ld == nil {
		return
	}
	if f.Kind == Permanent {
		e.fail(f.Err)
		return
	}
	if ld.lanes != nil {
		e.lanesLoading = 0
	}
	until := e.loadPace.failed(now, e.opts.NewBackoff)
	if sh := e.shardOf(ld.shard); ld.lanes == nil && sh != nil && sh.lists == ld.list && sh.list.asked {
		e.relist(sh, until)
	}
	for _, l := range ld.lanes {
		if l.work.expelled {
			continue
		}
		l.work.phase = unloaded
		e.unloaded.push(l)
	}
	e.pump(now)
}

// relist asks for the page again whose look-up failed: its keys do not count as
// seen, nor what was new in it as known.
func (e *Engine) relist(sh *shard, until time.Time) {
	sh.follow.forget()
	if sh.list.peek {
		sh.follow.newest = sh.list.since
	}
	for i := range sh.list.items.len() {
		sh.list.seen.remove(sh.list.items.key(i))
	}
	sh.list.items, sh.list.asked = listedItems{}, false
	e.stir(sh)
	sh.list.pace.until = until
}

func (e *Engine) shardOf(id uint64) *shard {
	if id >= uint64(len(e.shards)) {
		return nil
	}
	return e.shards[id]
}

// sortedLanes is some lanes in key order, so that equal inputs give
// equal commands.
func sortedLanes(set map[*lane]struct{}, due func(*lane) bool) []*lane {
	var lanes []*lane
	for l := range set {
		if due(l) {
			lanes = append(lanes, l)
		}
	}
	slices.SortFunc(lanes, func(a, b *lane) int { return a.key.Compare(b.key) })
	return lanes
}
