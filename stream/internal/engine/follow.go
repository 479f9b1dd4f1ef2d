package engine

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// follow is what a shard knows of the node it is watched at beside the leader.
type follow struct {
	// behind is since when the follower does not show version of key, which the
	// leader has; zero while it is not known to lag. check is a read under way at
	// the follower, which looks for it; 0 for none. outdated: what that looks for is
	// gone.
	behind   time.Time
	key      msg.Key
	version  uint64
	check    uint64
	outdated bool
	// exiled is until when no follower is asked for, left how often in a row one was left
	// because it lagged.
	exiled time.Time
	left   int
	// newest is the newest server timestamp the leader's first list page has shown,
	// tombs and page are digests of what was deleted and of all that was in it.
	newest, tombs, page uint64
	// hinted are the aggregates a follower has told of writes to since then; it may
	// be late, and they deleted.
	hinted trace
}

// followable reports whether a watch is to be opened at a follower.
func (e *Engine) followable(now time.Time, sh *shard) bool {
	return e.opts.Followers && !now.Before(sh.follow.exiled)
}

// mayLag reports whether watches may be at nodes that lag: followers, or any node while
// none tells whether it leads. Changes that are not notified there are looked for.
func (e *Engine) mayLag() bool { return e.opts.Followers || e.hidden }

// LeaderHidden says that no node tells whether it leads. Lists and reads that are to be
// the leader's word come from a node that shows at least what all others do.
func (e *Engine) LeaderHidden(now time.Time) {
	if e.hidden {
		return
	}
	e.hidden = true
	for _, sh := range e.shards {
		for i := range sh.links {
			sh.links[i].disputed, sh.links[i].leads = false, false
		}
		e.stir(sh)
	}
	e.pump(now)
}

// probeNodes asks each node that is watched whether it leads: one that was
// deposed keeps its watches open and its heartbeats coming. Where a follower is
// watched it also has the leader's news looked through.
func (e *Engine) probeNodes(now time.Time) {
	if e.opts.Probe <= 0 || now.Before(e.probeAt) {
		return
	}
	e.probeAt = now.Add(e.opts.Probe)
	for _, sh := range e.stirred {
		e.count(sh)
	}
	e.nodes = e.nodes[:0]
	for node := range e.shardCounts.nodes {
		e.nodes = append(e.nodes, node)
	}
	slices.Sort(e.nodes)
	for _, node := range e.nodes {
		e.emit(Command{Kind: CheckLeader, Node: node, Leader: e.disputed(node)})
	}
	if !e.mayLag() {
		return
	}
	for _, sh := range e.shards {
		if sh.follows() {
			e.beginPeek(sh)
			e.checkLag(sh)
		}
	}
}

// follows reports whether the shard is watched at a node that was not found to lead.
func (s *shard) follows() bool {
	return slices.ContainsFunc(s.links, func(l link) bool { return l.phase == acked && !l.leads })
}

// dispute has nodes asked at once whether they lead, and CaughtUp wait for what
// they say, when a link is acknowledged at another node than others: not all of
// them can lead, and the one that was deposed notifies of nothing any more.
func (e *Engine) dispute(now time.Time, acknowledged *link) {
	acknowledged.disputed = false
	if len(e.acked) < 2 || e.mayLag() || e.opts.Probe <= 0 {
		return
	}
	if e.allDisputedBut(acknowledged.node) {
		acknowledged.disputed = true
		e.probeAt = now
		return
	}
	for _, sh := range e.shards {
		for i := range sh.links {
			l := &sh.links[i]
			if l.phase == acked && l.node != acknowledged.node {
				l.disputed, acknowledged.disputed = true, true
				e.stir(sh)
				e.probeAt = now
			}
		}
	}
}

// disputed reports whether the shard may be watched at a node that was deposed.
func (s *shard) disputed() bool {
	for i := range s.links {
		if s.links[i].disputed {
			return true
		}
	}
	return false
}

// disputed reports whether a node must say itself whether it leads.
func (e *Engine) disputed(node string) bool {
	n := e.shardCounts.nodes[node]
	return n != nil && n.disputed > 0
}

// allDisputedBut reports whether links stand at other nodes, and every one of them is
// disputed already.
func (e *Engine) allDisputedBut(node string) bool {
	links := 0
	for other, n := range e.shardCounts.nodes {
		if other == node {
			continue
		}
		if n.disputed < n.links {
			return false
		}
		links += n.links
	}
	return links > 0
}

// confirmed reports whether the answer of a node that leads tells nothing new.
func (e *Engine) confirmed(node string) bool {
	n := e.shardCounts.nodes[node]
	return n == nil || n.leading == n.links && n.disputed == 0 && !e.opts.Followers && e.shardCounts.lagging.Len() == 0
}

// LeaderChecked answers CheckLeader; word tells that it asked for the node's word,
// without which no dispute ends: an answer from before it would say little. An
// unknown leadership changes nothing.
func (e *Engine) LeaderChecked(now time.Time, node string, leadership Leadership, word bool) {
	if leadership == LeadershipUnknown {
		return
	}
	e.hidden = false
	leads := leadership == Leading
	if leads && e.confirmed(node) {
		e.pump(now)
		return
	}
	for _, sh := range e.shards {
		for part := range sh.links {
			l := &sh.links[part]
			if l.phase != acked || l.node != node {
				continue
			}
			l.leads, l.disputed = leads, l.disputed && !(leads && word)
			e.stir(sh)
			if leads {
				sh.follow.caughtUp() // nothing is ahead of the leader
			}
			switch {
			case !leads && !e.opts.Followers:
				e.drop(now, sh, part, ErrDeposed)
				l.pace.failed(now, e.opts.NewBackoff)
				e.planReconnect(now, true)
			case leads && e.followable(now, sh):
				e.move(now, sh, part)
			}
		}
	}
	e.pump(now)
}

// move opens another watch in place of one that is there, which is kept until
// the new one is acknowledged.
func (e *Engine) move(now time.Time, sh *shard, part int) {
	l := &sh.links[part]
	if l.moving != 0 {
		return
	}
	l.moving = sh.nextEpoch(part)
	// Where nobody tells who leads, followers are all nodes by turns.
	e.emit(Command{Kind: Open, Link: Link{Shard: sh.id, Part: part}, Epoch: l.moving, Follower: e.followable(now, sh) || e.hidden})
}

// moved takes the new watch in place of the old one. Notifications that the
// old node had not sent yet are lost with its connection, and the new one may have shown
// the changes before it was watched, so the shard is reconciled; no state is left for that.
func (e *Engine) moved(now time.Time, sh *shard, id Link, node string) {
	l := &sh.links[id.Part]
	if node == l.node && !l.outdated {
		e.emit(Command{Kind: Close, Link: id, Epoch: l.moving})
		l.moving = 0
		sh.follow.exiled = now.Add(exile) // there is no other one
		return
	}
	e.emit(Command{Kind: Close, Link: id, Epoch: l.epoch})
	if node != l.node {
		e.stats.Moves++
		sh.follow.caughtUp()
		sh.live.lost(now) // one of them may be behind the other
	}
	l.epoch, l.moving, l.outdated = l.moving, 0, false
	e.setPhase(l, acked, node)
	l.leads, l.lastFrame = false, now
	e.count(sh)
	e.stir(sh)
	e.dispute(now, l)
	sh.continuous = false
	if settled := sh.settled; sh.up() {
		sh.early = e.opts.Late > 0 && !e.opts.LiveOnly
		sh.epoch++
		if !e.beginLive(sh) {
			e.beginListing(sh, Moved)
		}
		if !settled {
			e.announceCatchUp()
		}
	}
}

// beginPeek has the first pages of the leader's list looked through for changes that
// should have been notified: these pages hold the latest changes.
func (e *Engine) beginPeek(sh *shard) bool {
	if !sh.settled || sh.list.active || e.queued() >= backlog {
		return false
	}
	sh.list = &listing{active: true, peek: true}
	sh.lists++
	e.stir(sh)
	return true
}

// news reports whether an entry of the leader's first pages may have changed
// since the first was seen last, with since as its newest time. buried tells that
// something was deleted, same that the whole page is as it was. The newest time may be another leader's.
func (f *follow) news(item *msg.AggregateItem, since uint64, buried, same bool) bool {
	if item.Deleted {
		return buried || f.hinted.has(item.Key)
	}
	return !same && item.MaxServerTimestamp+drift >= since
}

// saw notes a first page of the leader's list; it reports whether other
// aggregates are deleted than before, and whether all is the same.
func (f *follow) saw(items []msg.AggregateItem) (newest uint64, buried, same bool) {
	tombs, page := uint64(0), uint64(0)
	newest = f.newest
	for i := range items {
		item := &items[i]
		newest = max(newest, item.MaxServerTimestamp)
		d := hash(item.Key).Lo
		if item.Deleted {
			tombs += d
		}
		page += mix(mix(d, item.MaxVersion), item.MaxServerTimestamp)
	}
	page = mix(page, tombs)
	buried, same = tombs != f.tombs, page == f.page
	f.tombs, f.page = tombs, page
	return newest, buried, same
}

// forget makes everything on the next first page news.
func (f *follow) forget() { f.newest, f.tombs, f.page = 0, ^uint64(0), 0 }

// mix folds a number into a digest.
func mix(d, n uint64) uint64 {
	d = (d ^ n) * 0x9e3779b97f4a7c15
	return d ^ d>>32
}

// lags notes that the follower does not show what the leader told of, or what
// was delivered from it.
func (e *Engine) lags(now time.Time, l *lane) {
	sh := e.shardOf(l.shard)
	if !e.mayLag() || sh == nil || !sh.follow.behind.IsZero() {
		return
	}
	f := &sh.follow
	e.stir(sh)
	f.behind, f.key, f.version = now, l.key, max(l.heard.target, l.known.cursor.Version)
	if !l.heard.told.IsZero() {
		f.behind = l.heard.told
	}
}

// takeLeadersWord takes the leader's word on an aggregate for what the follower must show.
// A change that the leader notified and showed at once may be missing at the follower,
// and is looked for there, too.
func (e *Engine) takeLeadersWord(l *lane) {
	sh := e.shardOf(l.shard)
	if sh == nil {
		return
	}
	f := &sh.follow
	e.stir(sh)
	alive := !l.known.cursor.Deleted && l.known.cursor.Version > 0
	switch {
	case f.behind.IsZero() && e.mayLag() && alive && !l.heard.told.IsZero():
		f.behind, f.key, f.version = l.heard.told, l.key, l.known.cursor.Version
	case f.behind.IsZero() || f.key != l.key:
	case alive:
		f.version = l.known.cursor.Version
	default:
		// A look that is under way keeps another one from being made.
		f.behind, f.outdated = time.Time{}, true
	}
}

// caughtUp says that the follower is not known to lag.
func (f *follow) caughtUp() { f.behind, f.check = time.Time{}, 0 }

// checkLag looks whether the follower shows by now what it did not.
func (e *Engine) checkLag(sh *shard) {
	f := &sh.follow
	if f.behind.IsZero() || f.check != 0 || sh.node() == "" {
		return
	}
	delete(e.checks, f.check)
	f.check, f.outdated = e.id(), false
	e.checks[f.check] = sh
	e.emit(Command{
		Kind: Read, ID: f.check, Key: f.key, Node: sh.node(),
		From: f.version, To: msg.Some(f.version),
	})
}

// lagChecked takes the answer to checkLag; false when the read was another one.
func (e *Engine) lagChecked(now time.Time, id uint64, shown bool) bool {
	sh := e.checks[id]
	delete(e.checks, id)
	if sh == nil || sh.follow.check != id {
		return false
	}
	sh.follow.check = 0
	e.stir(sh)
	if shown && !sh.follow.outdated {
		sh.follow.caughtUp()
	}
	e.leaveLaggard(now, sh)
	return true
}

// leaveLaggard moves the shard to the leader once its follower lags too far.
func (e *Engine) leaveLaggard(now time.Time, sh *shard) {
	if e.opts.MaxLag <= 0 || sh.follow.behind.IsZero() || now.Sub(sh.follow.behind) < e.opts.MaxLag {
		return
	}
	sh.follow.exile(now)
	for part := range sh.links {
		if l := &sh.links[part]; l.phase == acked && !l.leads {
			e.move(now, sh, part)
		}
	}
}

// exile has no follower asked for in a while, longer each time: every move costs a list.
func (f *follow) exile(now time.Time) {
	if now.Before(f.exiled) {
		return // it is being left
	}
	if now.Sub(f.exiled) > forgiven {
		f.left = 0
	}
	f.exiled = now.Add(exile << f.left)
	f.left = min(f.left+1, maxLeft)
}
