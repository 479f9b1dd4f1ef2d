package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

var (
	// ErrSilent is the cause of a shard lost because no frame came.
	ErrSilent = errors.New("no frame within the liveness bound")
	// ErrDeposed is the cause of a shard lost because the node watched leads no
	// more.
	ErrDeposed = errors.New("the node watched is no longer the leader")
	// ErrLeadershipUnknown is the cause of a failure to get the leader's word: the
	// node has answered, but does not tell whether it leads.
	ErrLeadershipUnknown = errors.New("no node tells whether it leads")
)

// ShardsError is the cause of a subscription that does not begin: the number of shards
// that a node claims is beyond the bound.
type ShardsError struct{ Claimed, Most uint64 }

func (e *ShardsError) Error() string {
	return fmt.Sprintf("a node claims %d shards: want 1 to %d", e.Claimed, e.Most)
}

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
	node      string // that is watched
	leads     bool   // what it said when it was asked last
	disputed  bool   // another link is watched at another node, and it was not asked since
	lastFrame time.Time
	pace      pace
	// moving is the epoch of a watch that is to take this one's place, 0 for none.
	moving uint64
	// outdated: opened with the filter of an earlier scope.
	outdated bool
	queued   bool // waits to be opened
	counted  countedLink
}

// shard is the state of one shard's subscription.
type shard struct {
	id    uint64
	links []link
	// opened counts the watches that were opened of each link, also of one that is no
	// longer there: what comes late of an earlier one must not be taken for its own.
	opened []uint64
	// epoch counts the times the shard was subscribed completely, lists its lists;
	// pages of an older list are discarded.
	epoch, lists uint64
	// settled: reconciled since the links were acknowledged.
	settled bool
	// interruptions counts the lists in a row during which a watch was lost.
	interruptions int
	// continuous: no hint of this shard was lost since it settled.
	continuous bool
	// early: it is not long watched, and its node may not show yet what was committed before
	// that, and is notified to nobody here. Changes were missed where versions are left out
	// between a cursor and what is notified.
	early bool
	// overflowed: hints were dropped for want of room; reconcile again.
	overflowed bool
	list       *listing // never nil, see noList
	// reconcileAt is when anti-entropy begins the next list, peekAt when what is
	// new is looked through once more after a list.
	reconcileAt, peekAt time.Time
	follow              follow
	// due is when the shard is looked at next, stirred that it is in this step; it
	// may wait for room for a page, or for another list.
	due                          timer
	stirred                      bool
	waitsForPage, waitsForRelist bool
	counted                      countedShard
	// looking is the look-up of a page of its list that is under way; nil for none.
	looking *load
	// gained: the next list is one of partitions that were gained.
	gained bool
	// starting: aggregates without a cursor begin where they are.
	starting bool
	live     liveStart
}

// up reports whether all links are acknowledged, with the present filter.
func (s *shard) up() bool {
	for i := range s.links {
		if s.links[i].phase != acked || s.links[i].outdated {
			return false
		}
	}
	return true
}

// node is where the shard is watched; empty unless it is one node for all links.
func (s *shard) node() string {
	if len(s.links) == 0 {
		return ""
	}
	node := s.links[0].node
	for i := range s.links {
		if s.links[i].phase != acked || s.links[i].node != node {
			return ""
		}
	}
	return node
}

// nodeOf is the node watched for the lane's aggregate, empty for none.
func (e *Engine) nodeOf(l *lane) string {
	if sh := e.shardOf(l.shard); sh != nil {
		return sh.node()
	}
	return ""
}

// watches reports whether node is the one watched for the lane's aggregate: what
// that one shows, it notifies.
func (e *Engine) watches(l *lane, node string) bool { return node != "" && node == e.nodeOf(l) }

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
	if n == 0 || e.opts.MaxShards > 0 && n > e.opts.MaxShards {
		// A later answer may be another one.
		e.discovery.failed(now, e.opts.NewReconnect)
		e.settle(Connecting, 0, &ShardsError{Claimed: n, Most: e.opts.MaxShards})
		return
	}
	e.probeAt = now.Add(e.opts.Probe)
	e.shards = make([]*shard, n)
	for i := range e.shards {
		sh := &shard{id: uint64(i), links: make([]link, e.partsOf(uint64(i))), list: &noList}
		e.shards[i] = sh
		e.startShard(sh)
		for part := range sh.links {
			e.wantOpen(sh, part)
		}
		e.links += len(sh.links)
		e.subscribed(sh)
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
	e.discovery.failed(now, e.opts.NewReconnect)
	e.settle(Connecting, 0, f.Err)
}

func (e *Engine) open(now time.Time, sh *shard, part int) {
	l := &sh.links[part]
	e.setPhase(l, opening, "")
	e.stir(sh)
	l.epoch = sh.nextEpoch(part)
	e.emit(Command{Kind: Open, Link: Link{Shard: sh.id, Part: part}, Epoch: l.epoch, Follower: e.followable(now, sh)})
}

// nextEpoch numbers another watch of a link.
func (s *shard) nextEpoch(part int) uint64 {
	for len(s.opened) <= part {
		s.opened = append(s.opened, 0)
	}
	s.opened[part]++
	return s.opened[part]
}

// link returns the link if epoch is its present one, or that of the watch it
// moves to.
func (e *Engine) link(id Link, epoch uint64) (*shard, *link) {
	if id.Shard >= uint64(len(e.shards)) {
		return nil, nil
	}
	sh := e.shards[id.Shard]
	if id.Part >= len(sh.links) {
		return nil, nil
	}
	l := &sh.links[id.Part]
	if l.moving == epoch && epoch != 0 {
		return sh, l
	}
	if l.epoch != epoch || l.phase == down {
		return nil, nil
	}
	return sh, l
}

// Acked says that the watch was acknowledged by node: what that node comes to
// show from now on is notified.
func (e *Engine) Acked(now time.Time, id Link, epoch uint64, node string) {
	sh, l := e.link(id, epoch)
	switch {
	case l == nil:
		return
	case l.moving == epoch:
		e.moved(now, sh, id, node)
		e.pump(now)
		return
	case l.phase != opening:
		return
	}
	disconnected := e.disconnected()
	e.setPhase(l, acked, node)
	l.lastFrame, l.leads = now, false
	e.count(sh)
	sh.live.acknowledged(now)
	e.stir(sh)
	e.dispute(now, l)
	if disconnected {
		e.reconnected(now)
	}
	e.count(sh)
	if e.subscribed(sh) {
		e.announceCatchUp()
	}
	e.pump(now)
}

// subscribed begins to reconcile the shard once all its links are acknowledged.
func (e *Engine) subscribed(sh *shard) bool {
	e.stir(sh)
	if !sh.up() {
		return false
	}
	sh.epoch++
	sh.continuous = true
	if len(sh.links) == 0 {
		e.setSettled(sh, true) // nothing is followed
		e.startedShard(sh)
		return true
	}
	sh.early = e.opts.Late > 0 && !e.opts.LiveOnly
	if !e.beginLive(sh) {
		e.resumeListing(sh)
	}
	return true
}

// announceCatchUp moves to CatchingUp once no shard is missing.
func (e *Engine) announceCatchUp() {
	if e.shardCounts.up < len(e.shards) {
		return
	}
	e.settle(CatchingUp, 0, nil)
}

// Frame hands over the notifications of one frame; none for a heartbeat.
func (e *Engine) Frame(now time.Time, id Link, epoch uint64, notifications []msg.Notification) {
	sh, l := e.link(id, epoch)
	if l == nil || l.phase != acked || l.epoch != epoch {
		return
	}
	l.lastFrame, e.heardAt = now, now
	l.pace.succeeded(now, e.opts.Healthy)
	e.reconnect.succeeded(now, e.opts.Healthy)
	e.dropped.succeeded(now, e.opts.Healthy)
	e.frames++
	for i := range notifications {
		e.fold(sh, &notifications[i])
	}
	e.flow(now)
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
	if l.moving == epoch && !l.outdated {
		// The watch that is there stays.
		l.moving = 0
		sh.follow.exiled = now.Add(exile)
		return
	}
	if l.moving == epoch {
		l.moving = 0
		e.emit(Command{Kind: Close, Link: id, Epoch: l.epoch})
	}
	stood := l.phase == acked
	e.lose(now, sh, id, f.Err)
	l.pace.failed(now, e.opts.NewBackoff)
	e.planReconnect(now, stood)
	e.pump(now)
}

// lose gives a watch up. The watch is opened again once its pace allows.
func (e *Engine) lose(now time.Time, sh *shard, id Link, cause error) {
	l := &sh.links[id.Part]
	if l.phase == acked {
		e.stats.Reconnects++
	}
	if l.moving != 0 {
		e.emit(Command{Kind: Close, Link: id, Epoch: l.moving})
		l.moving = 0
	}
	e.setPhase(l, down, "")
	l.outdated = false
	e.stir(sh)
	e.setSettled(sh, false)
	sh.continuous = false
	sh.live.lost(now)
	e.interrupt(sh)
	sh.follow.caughtUp()
	e.settle(Reconnecting, sh.id, cause)
}

// tickShard opens links whose wait is over and drops silent ones. While no watch stands,
// tickReconnect opens one for all.
func (e *Engine) tickShard(now time.Time, sh *shard) {
	for part := range sh.links {
		l := &sh.links[part]
		switch {
		case l.phase == down && !e.disconnected() && l.pace.ready(now):
			e.wantOpen(sh, part)
		case l.phase == acked && now.Sub(l.lastFrame) >= e.opts.Liveness:
			e.drop(now, sh, part, ErrSilent)
			l.pace.failed(now, e.opts.NewBackoff)
			e.planReconnect(now, true)
		}
	}
	e.stir(sh)
}

// drop closes a watch that is open and gives it up.
func (e *Engine) drop(now time.Time, sh *shard, part int, cause error) {
	id := Link{Shard: sh.id, Part: part}
	e.emit(Command{Kind: Close, Link: id, Epoch: sh.links[part].epoch})
	e.lose(now, sh, id, cause)
}
