package engine

import (
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// ErrListStuck is the cause of a list that waits before it goes on: page after page
// names another one, or itself, and shows nothing new.
var ErrListStuck = errors.New("list pages name further ones and show nothing new")

// listing is the progress of one shard's reconcile.
type listing struct {
	active bool
	reason Reason
	// peek: only the first pages are wanted, for what is new in them since: as many as
	// show nothing that is older, up to peekPages.
	peek   bool
	since  uint64
	peeked int
	// asked: a page or its look-up is under way.
	asked  bool
	cursor msg.Opt[uint64]
	// node gave the cursor, which is of use nowhere else.
	node     string
	failures int // in a row
	// items wait for the look-up of their cursors.
	items listedItems
	next  msg.Opt[uint64]
	// seen are the keys so far: the first, newest occurrence wins.
	seen keySet
	// touched are the keys written since the listing began: a list that was
	// computed before the write may still call them deleted. shown are those of which
	// batches were delivered: the notification of the write may still be under way.
	touched, shown trace
	pace           pace
	// partial: the next part of the page waits for room. empty counts the pages in a
	// row that were empty or named themselves, known those that held nothing new.
	partial      bool
	empty, known int
	// interrupted: the shard's watch was lost since the list began. Changes may be
	// missing in the pages before, so that another list follows.
	interrupted bool
}

// noList stands for a list that is not active; nothing is ever written to it. Most shards of
// most subscriptions have none under way.
var noList listing

func (l *listing) touch(key msg.Key) {
	if l.active {
		l.touched.add(key)
	}
}

func (l *listing) show(key msg.Key) {
	if l.active {
		l.shown.add(key)
	}
}

// interrupt ends the list of a shard whose watch is lost. If the one before it was
// interrupted, too, the list goes on when the shard is subscribed again: otherwise
// losses that come faster than a list of many pages takes would keep the last pages
// out of reach for ever.
func (e *Engine) interrupt(sh *shard) {
	l := sh.list
	if !l.active || l.peek {
		sh.list = &noList
		return
	}
	if sh.interruptions++; sh.interruptions == 1 || sh.starting || e.opts.LiveOnly {
		sh.list = &noList
		return
	}
	l.interrupted = true
}

// resumeListing goes on with a list that was interrupted, or begins one. A list goes on at
// the node that gave its cursor only.
func (e *Engine) resumeListing(sh *shard) {
	if l := sh.list; !l.active || l.node != sh.node() && !e.mayLag() {
		e.beginListing(sh, sh.reason())
	}
}

// reason is why a shard is listed that has just been subscribed.
func (s *shard) reason() Reason {
	switch {
	case s.gained:
		return Gained
	case s.lists == 0:
		return Started
	}
	return Reconnected
}

func (e *Engine) beginListing(sh *shard, why Reason) {
	sh.list = &listing{active: true, reason: why}
	sh.gained = false
	sh.lists++
	e.stir(sh)
	for _, m := range e.explicit {
		if m.home == sh.id {
			m.listed = false
		}
	}
}

// wantPage has the next page asked for unless one is under way.
func (e *Engine) wantPage(now time.Time, sh *shard) {
	l := sh.list
	if l.active && !l.asked && l.pace.ready(now) && (sh.settled || sh.up()) && !sh.waitsForPage {
		sh.waitsForPage = true
		e.toList.push(sh)
	}
}

// pumpPages asks for pages until the lanes have enough to do: the backlog is what
// bounds the memory of a reconcile.
func (e *Engine) pumpPages(now time.Time) {
	for e.toRelist.len() > 0 && e.queued() <= e.opts.MaxLanes/2 {
		sh := e.toRelist.pop()
		sh.waitsForRelist = false
		e.tickListing(now, sh)
		e.wantPage(now, sh)
		e.count(sh)
		e.arm(now, sh)
	}
	for e.toList.len() > 0 && e.queued() < backlog {
		sh := e.toList.pop()
		sh.waitsForPage = false
		e.tickListing(now, sh) // a look at the first pages may wait
		if l := sh.list; l.partial {
			l.partial = false
			e.lookUpPage(sh)
		} else if l.active && !l.asked && l.pace.ready(now) && (sh.settled || sh.up()) {
			e.askPage(sh)
		}
		e.arm(now, sh)
	}
}

func (e *Engine) askPage(sh *shard) {
	l := sh.list
	l.asked = true
	e.stats.Lists++
	c := Command{Kind: List, Shard: sh.id, Epoch: sh.lists, Cursor: l.cursor, Look: l.peek, Reason: l.reason}
	if l.cursor.Set {
		c.Node = l.node
	}
	e.emit(c)
}

// ListFailed answers List.
func (e *Engine) ListFailed(now time.Time, shardID, list uint64, f Failure) {
	sh := e.shards[shardID]
	if sh.lists != list || !sh.list.active {
		return
	}
	if f.Kind == Permanent {
		e.fail(f.Err)
		return
	}
	l := sh.list
	l.asked = false
	e.stir(sh)
	switch l.failures++; {
	case l.peek:
		if l.cursor.Set {
			sh.follow.newest, sh.follow.page = l.since, 0 // the next look goes as deep
		}
		sh.list = &noList
		if sh.early && sh.peekAt.IsZero() {
			sh.peekAt = now.Add(e.opts.Late)
		}
	case l.cursor.Set && (f.Kind == Deposed || l.failures >= patience):
		// The cursor is of use at that node only.
		pace := l.pace
		e.beginListing(sh, l.reason)
		sh.list.pace = pace
		sh.list.pace.failed(now, e.opts.NewBackoff)
	default:
		l.pace.failed(now, e.opts.NewBackoff)
	}
	e.pump(now)
}

// Listed answers List with one page of node, the leader.
func (e *Engine) Listed(now time.Time, shardID, list uint64, node string, items []msg.AggregateItem, next msg.Opt[uint64]) {
	e.heardAt = now
	sh := e.shards[shardID]
	e.stir(sh)
	if sh.lists != list || !sh.list.active {
		return
	}
	l := sh.list
	l.pace.succeeded(now, e.opts.Healthy)
	e.answers(now, true)
	l.node, l.failures = node, 0
	l.items, l.next = listedItems{}, next
	l.items.grow(min(len(items), lookup))
	newest, buried, same := sh.follow.newest, false, false
	if !l.cursor.Set {
		l.since = newest
		newest, buried, same = sh.follow.saw(items)
		sh.live.saw(now, items)
	} else {
		buried = true // it is not known what was deleted before
	}
	if l.peek && !l.deeper(items) {
		l.next = msg.None[uint64]()
	}
	for i := range items {
		key := items[i].Key
		e.starter.saw(&items[i])
		if !e.follows(key) || !l.add(key) || l.peek && !sh.follow.news(&items[i], l.since, buried, same) {
			continue
		}
		if m := e.explicit[key]; m != nil {
			m.home, m.listed = sh.id, true
		}
		if l.items.len() == lookup {
			l.items.grow(len(items) - i) // a large page is not copied by parts
		}
		l.items.add(&items[i])
	}
	sh.follow.newest = newest
	if !l.peek || !l.next.Set {
		sh.follow.hinted = trace{}
	}
	switch stuck := l.stuck(len(items), l.items.len()); {
	case stuck && l.items.len() == 0:
		e.listStuck(now, sh)
	case l.items.len() == 0:
		e.endPage(now, sh)
	default:
		e.lookUpPage(sh)
	}
	e.flow(now)
}

// lookUpPage looks the cursors up of the next part of a page.
func (e *Engine) lookUpPage(sh *shard) {
	n := min(lookup, sh.list.items.len())
	keys := make([]msg.Key, n)
	for i := range keys {
		keys[i] = sh.list.items.key(i)
	}
	e.emitLoad(&load{shard: sh.id, list: sh.lists, keys: keys})
}

// deeper reports whether a look for what is new goes on to the next page: this one shows
// nothing that is older, so that there may be more.
func (l *listing) deeper(items []msg.AggregateItem) bool {
	news, old := 0, 0
	for i := range items {
		switch item := &items[i]; {
		case item.Deleted: // and tells no time
		case item.MaxServerTimestamp > l.since:
			news++
		default:
			old++
		}
	}
	l.peeked++
	return l.since > 0 && news > 0 && old == 0 && l.peeked < peekPages
}

// add reports whether a key is to be looked at: it was not seen by this list. Beyond
// maxSeen keys an older entry is looked at once more, which costs a read.
func (l *listing) add(key msg.Key) bool {
	if len(l.seen) < maxSeen {
		return l.seen.add(key)
	}
	return !l.seen.has(key)
}

// stuck reports whether a list gets nowhere: too many pages in a row were empty or named
// themselves as the next, as a page that ran out of time does, or too many held only
// what is known, as those of older segments do.
func (l *listing) stuck(items, news int) bool {
	l.empty, l.known = l.empty+1, l.known+1
	if items > 0 && (!l.cursor.Set || l.next.Value != l.cursor.Value) {
		l.empty = 0
	}
	if news > 0 {
		l.known = 0
	}
	return l.next.Set && (l.empty > emptyPages || l.known > knownPages)
}

// listStuck waits before it goes on with a list that gets nowhere, and says so.
func (e *Engine) listStuck(now time.Time, sh *shard) {
	l := sh.list
	l.cursor, l.asked = l.next, false
	l.pace.failed(now, e.opts.NewBackoff)
	e.stir(sh)
	e.settle(e.phase, sh.id, ErrListStuck)
}

// compare marks what differs between a page and the stored cursors.
func (e *Engine) compare(now time.Time, sh *shard, ld *load, cursors []checkpoint.Cursor) {
	for i := range ld.keys {
		entry := sh.list.items.at(i)
		item := &entry
		if !e.follows(item.key) {
			continue // its partition left meanwhile
		}
		c := cursors[i]
		l := e.lanes[item.key]
		known := l != nil
		current := (l == nil || l.work.phase == onHold) && !ld.outdated(item.key)
		switch {
		case l != nil && l.known.loaded:
			c, current = l.known.cursor, true
		case l != nil:
			c = latest(c, l.known.committed)
		}
		touched := sh.list.touched.has(item.key)
		// A lane at work may be reading a deleted aggregate that looks alive.
		working := l != nil && l.work.phase != onHold && (l.work.phase != idle || l.work.dirty)
		if l != nil && l.work.phase == onHold && item.deleted && !touched {
			l.heard.listedDeleted = true // whatever a read shows once it is released
		}
		if l == nil && current && item.deleted && !touched && c.IsZero() && e.startsNow(sh, item.key) {
			e.markAbsent(sh, e.addLoaded(item.key, c))
			continue
		}
		if e.opts.LiveOnly && l == nil && current && c.IsZero() && sh.live.before(item) {
			continue
		}
		if current && !differs(item, c) && (!item.deleted || !touched && !working) {
			continue
		}
		if l == nil && current {
			l = e.addLoaded(item.key, c)
		} else if l == nil {
			l = e.addLane(item.key)
		}
		l.shard, l.work.unheard = sh.id, false
		if !known && e.opts.LiveOnly {
			e.sinceStart(l)
		} else if !known {
			e.locate(sh, l)
		}
		switch {
		case !item.deleted:
			// The list also ends an older list's word.
			l.heard.listedDeleted = false
			l.heard.changed(item.version)
			l.heard.head, l.heard.headTime = item.version, item.written
			if l.heard.head == 0 {
				l.heard.head, l.heard.headTime = leaderOnly, 0 // a segment of trims names none
			}
			if l.origin != nil {
				l.origin.listed = item.version
			}
			l.heard.force = true
			if l.heard.told.IsZero() {
				l.heard.told = now
			}
		case touched:
			// Written since, or heard of late from a node that lags.
			l.heard.force, l.heard.head, l.heard.headTime = true, leaderOnly, 0
		default:
			l.heard.listedDeleted = true
			l.heard.doubtUntil = time.Time{}
			if sh.list.shown.has(item.key) {
				e.doubtList(now, sh, l)
			}
		}
		e.catch(l)
		e.mark(l)
	}
	if sh.list.items.drop(len(ld.keys)); sh.list.items.len() == 0 {
		e.endPage(now, sh)
		return
	}
	e.wantPart(sh)
}

// wantPart has the next part of a page looked up as soon as there is room.
func (e *Engine) wantPart(sh *shard) {
	sh.list.partial = true
	if !sh.waitsForPage {
		sh.waitsForPage = true
		e.toList.push(sh)
	}
}

// differs reports whether a list entry does not simply confirm the cursor. Equal
// version and time of the newest batch are taken as the same batch; anything
// else is worth a read, which decides.
func differs(item *listedItem, c checkpoint.Cursor) bool {
	switch {
	case item.deleted:
		return !c.IsZero() && !c.Deleted
	case c.IsZero() || c.Deleted || item.version == 0 || item.version != c.Version:
		return true
	}
	return item.written != 0 && item.written != c.Anchor.ServerTimestamp
}

// endPage goes on to the next page or ends the reconcile.
func (e *Engine) endPage(now time.Time, sh *shard) {
	e.stir(sh)
	l := sh.list
	l.asked = false
	l.items = listedItems{}
	l.cursor = l.next
	if l.next.Set {
		return
	}
	peek, interrupted, why := l.peek, l.interrupted, l.reason
	sh.list = &noList
	if peek {
		sh.early = false
		return
	}
	if interrupted {
		e.beginListing(sh, why)
		return
	}
	sh.interruptions = 0
	if e.opts.Reconcile > 0 {
		sh.reconcileAt = now.Add(e.opts.Reconcile)
	}
	if e.opts.Late > 0 {
		sh.peekAt = now.Add(e.opts.Late)
	}
	e.setSettled(sh, true)
	e.startedShard(sh)
	if !sh.overflowed {
		sh.continuous, sh.live.missed = true, false
	}
	e.readUnlisted(sh)
}

// readUnlisted reads the explicit aggregates the lists do not know. A list is
// never proof of absence.
func (e *Engine) readUnlisted(ended *shard) {
	if e.explicit == nil || e.shardCounts.settled < len(e.shards) {
		return
	}
	for _, key := range e.opts.Explicit {
		m := e.explicit[key]
		if !e.follows(key) || m.listed || (e.phase == Live && m.home != noShard && m.home != ended.id) {
			continue
		}
		l := e.lanes[key]
		if l == nil {
			l = e.addLane(key)
			l.shard = m.home
			e.sinceStart(l)
		}
		l.heard.changed(0)
		l.heard.force, l.work.unheard = true, false
		e.catch(l)
		e.mark(l)
	}
}

// tickListing begins a reconcile that is due: by anti-entropy, or because hints
// were dropped and there is room again.
func (e *Engine) tickListing(now time.Time, sh *shard) {
	if !sh.settled || sh.list.active {
		return
	}
	switch {
	case sh.overflowed && e.queued() <= e.opts.MaxLanes/2:
		sh.overflowed = false
		e.beginListing(sh, Overflowed)
	case !sh.reconcileAt.IsZero() && !now.Before(sh.reconcileAt):
		e.beginListing(sh, Due)
	case !sh.peekAt.IsZero() && !now.Before(sh.peekAt):
		e.latePeek(sh)
	}
	if sh.overflowed && !sh.waitsForRelist {
		sh.waitsForRelist = true
		e.toRelist.push(sh)
	}
}

// latePeek looks the newest changes through once more, or waits for room to do so.
func (e *Engine) latePeek(sh *shard) {
	if e.beginPeek(sh) {
		sh.peekAt = time.Time{}
	} else if !sh.waitsForPage {
		sh.waitsForPage = true
		e.toList.push(sh)
	}
}
