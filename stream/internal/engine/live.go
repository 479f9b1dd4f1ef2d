package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// A subscription that is live only begins with each shard where that is acknowledged:
// nothing is listed and nothing is read before something is heard of. An aggregate
// begins behind the batch before the first that was notified.
//
// A list finds the batches that were committed while notifications were missed, on a
// lost shard or for want of room, as always. Of an aggregate without a cursor only the time
// of its batches then tells what was there before the start. By then the first page of
// a list, looked at a moment after the start, has told the node's time.

// clockMargin is by how many milliseconds the client's clock may be ahead of the
// node's: it stands in for the node's word when a shard is lost before that was heard.
const clockMargin = 60_000

// underWay is for how long a notification of what a list shows may be under way.
const underWay = 5 * time.Second

// liveStart is where a shard of such a subscription begins.
type liveStart struct {
	// acked is when its watches were acknowledged, from the server time, in
	// milliseconds, from which on batches were committed since the start.
	acked time.Time
	from  uint64
	// told is when a node's list told of the time; zero while none did.
	told time.Time
	// missed: some notification may be missing since the last list.
	missed bool
}

// guess takes the client's clock for the node's, with a margin.
func (s *liveStart) guess() {
	s.told = time.Time{}
	s.from = uint64(max(0, s.acked.UnixMilli()-clockMargin))
}

// acknowledged notes when a shard begins.
func (s *liveStart) acknowledged(now time.Time) {
	if s.acked.IsZero() {
		s.acked = now
		s.guess()
	}
}

// saw takes the newest time on the first page of a list for the start: what is older
// and was not notified by now was there before.
func (s *liveStart) saw(now time.Time, items []msg.AggregateItem) {
	if s.acked.IsZero() || s.missed || !s.told.IsZero() || len(items) == 0 {
		return
	}
	s.told, s.from = now, 0
	for i := range items {
		s.from = max(s.from, items[i].MaxServerTimestamp)
	}
	s.from++
}

// lost notes that notifications may be missing from now on, also of changes that a list
// has just shown.
func (s *liveStart) lost(now time.Time) {
	if s.acked.IsZero() {
		return
	}
	s.missed = true
	if now.Sub(s.told) < underWay {
		s.guess()
	}
}

// before reports whether a list entry shows an aggregate that was not written since
// the start.
func (s *liveStart) before(item *listedItem) bool {
	return item.written != 0 && item.written < s.from
}

// beginLive has a subscribed shard count as reconciled, unless notifications are
// missing; then it is listed.
func (e *Engine) beginLive(sh *shard) bool {
	s := &sh.live
	if !e.opts.LiveOnly || s.missed {
		return false
	}
	sh.list = &noList
	e.setSettled(sh, true)
	if e.opts.Late > 0 && s.told.IsZero() {
		sh.peekAt = s.acked.Add(e.opts.Late)
	}
	if e.opts.Reconcile > 0 && sh.reconcileAt.IsZero() {
		sh.reconcileAt = s.acked.Add(e.opts.Reconcile)
	}
	return true
}

// decideLive tells where a lane without a cursor begins. Where notifications are
// missing the first that was heard need not be the first that was committed.
func (e *Engine) decideLive(l *lane) (d decision, first uint64) {
	h, sh := &l.heard, e.shardOf(l.shard)
	switch {
	case l.origin == nil, !l.known.cursor.IsZero(), h.expects.born:
		return whole, 1
	case h.since == 0 && !h.openEnded:
		return undecided, 0 // a delete or a trim of what was not delivered
	case sh == nil || sh.live.missed || h.since == 0:
		e.sinceStart(l)
		return whole, 1
	case h.since == 1:
		return whole, 1
	}
	return behind, h.since
}

// sinceStart has a lane without a cursor pass over batches from before the start.
func (e *Engine) sinceStart(l *lane) {
	e.located(l)
	if sh := e.shardOf(l.shard); e.opts.LiveOnly && sh != nil && l.known.cursor.IsZero() {
		l.known.notBefore = saturate(sh.live.from, drift)
	}
}
