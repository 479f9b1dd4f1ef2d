package engine

import (
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// ErrSilent is the cause of a shard lost because no frame came.
var ErrSilent = errors.New("no frame within the liveness bound")

// linkPhase is where a link stands.
type linkPhase uint8

const (
	down linkPhase = iota
	opening
	acked
)

type link struct {
	phase     linkPhase
	epoch     uint64
	lastFrame time.Time
	pace      pace
}

// shard is the state of one shard's subscription.
type shard struct {
	id    uint64
	links []link
	// epoch counts the times the shard was subscribed completely; list pages of
	// an older epoch are discarded.
	epoch uint64
	// settled: reconciled since the links were acknowledged.
	settled bool
	// continuous: no hint of this shard was lost since it settled.
	continuous bool
	// overflowed: hints were dropped for want of room; reconcile again.
	overflowed bool
	list       listing
}

// up reports whether all links are acknowledged.
func (s *shard) up() bool {
	for i := range s.links {
		if s.links[i].phase != acked {
			return false
		}
	}
	return true
}

// discover asks for the number of shards, unless it is known or asked for.
func (e *Engine) discover(now time.Time) {
	if e.shards != nil || e.finding || !e.discovery.ready(now) {
		return
	}
	e.finding = true
	e.emit(Command{Kind: Discover})
}

// ShardsKnown answers Discover.
func (e *Engine) ShardsKnown(now time.Time, n uint64) {
	e.finding = false
	e.shards = make([]*shard, n)
	for i := range e.shards {
		sh := &shard{id: uint64(i), links: make([]link, e.opts.Parts)}
		e.shards[i] = sh
		for part := range sh.links {
			e.open(sh, part)
		}
	}
	e.pump(now)
}

// DiscoverFailed answers Discover.
func (e *Engine) DiscoverFailed(now time.Time, f Failure) {
	e.finding = false
	if f.Kind == Permanent {
		e.fail(f.Err)
		return
	}
	e.discovery.failed(now, e.opts.NewBackoff)
	e.settle(Connecting, 0, f.Err)
}

func (e *Engine) open(sh *shard, part int) {
	l := &sh.links[part]
	l.phase = opening
	l.epoch++
	e.emit(Command{Kind: Open, Link: Link{Shard: sh.id, Part: part}, Epoch: l.epoch})
}

// link returns the link if epoch is its present one.
func (e *Engine) link(id Link, epoch uint64) (*shard, *link) {
	if id.Shard >= uint64(len(e.shards)) {
		return nil, nil
	}
	sh := e.shards[id.Shard]
	l := &sh.links[id.Part]
	if l.epoch != epoch || l.phase == down {
		return nil, nil
	}
	return sh, l
}

// Acked says that the watch was acknowledged: what commits from now on is
// notified.
func (e *Engine) Acked(now time.Time, id Link, epoch uint64) {
	sh, l := e.link(id, epoch)
	if l == nil || l.phase != opening {
		return
	}
	l.phase, l.lastFrame = acked, now
	if sh.up() {
		sh.epoch++
		sh.continuous = true
		e.beginListing(sh)
		e.announceCatchUp()
	}
	e.pump(now)
}

// announceCatchUp moves to CatchingUp once no shard is missing.
func (e *Engine) announceCatchUp() {
	for _, sh := range e.shards {
		if !sh.up() {
			return
		}
	}
	e.settle(CatchingUp, 0, nil)
}

// Frame hands over the notifications of one frame; none for a heartbeat.
func (e *Engine) Frame(now time.Time, id Link, epoch uint64, notifications []msg.Notification) {
	sh, l := e.link(id, epoch)
	if l == nil || l.phase != acked {
		return
	}
	l.lastFrame = now
	l.pace.succeeded(now, e.opts.Healthy)
	for i := range notifications {
		e.fold(sh, &notifications[i])
	}
	e.pump(now)
}

// Lost says that a watch could not be opened or ended.
func (e *Engine) Lost(now time.Time, id Link, epoch uint64, f Failure) {
	sh, l := e.link(id, epoch)
	if l == nil {
		return
	}
	if f.Kind == Permanent {
		e.fail(f.Err)
		return
	}
	e.lose(now, sh, l, f.Err)
	e.pump(now)
}

func (e *Engine) lose(now time.Time, sh *shard, l *link, cause error) {
	if l.phase == acked {
		e.stats.Reconnects++
	}
	l.phase = down
	l.pace.failed(now, e.opts.NewBackoff)
	sh.settled, sh.continuous = false, false
	sh.list = listing{}
	e.settle(Reconnecting, sh.id, cause)
}

// tickShard opens links whose wait is over and drops silent ones.
func (e *Engine) tickShard(now time.Time, sh *shard) {
	for part := range sh.links {
		l := &sh.links[part]
		switch {
		case l.phase == down && l.pace.ready(now):
			e.open(sh, part)
		case l.phase == acked && now.Sub(l.lastFrame) >= e.opts.Liveness:
			e.emit(Command{Kind: Close, Link: Link{Shard: sh.id, Part: part}, Epoch: l.epoch})
			e.lose(now, sh, l, ErrSilent)
		}
	}
	e.tickListing(now, sh)
}

func (e *Engine) wakeShard(sh *shard, consider, later func(time.Time)) {
	for i := range sh.links {
		switch l := &sh.links[i]; l.phase {
		case down:
			consider(l.pace.until)
		case acked:
			consider(l.lastFrame.Add(e.opts.Liveness))
		}
	}
	e.wakeListing(sh, consider, later)
}
