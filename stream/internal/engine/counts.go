package engine

import (
	"container/heap"
	"time"
)

// Statistics are sums that are kept where lanes and shards change, so that to ask for
// them costs the same however many there are.

// counts are the sums over all lanes.
type counts struct {
	// touched are the lanes that changed in this step, and are counted at its end.
	touched []*lane
	// behind are versions heard of and not delivered, unhandled those heard of and not
	// committed; pending are the lanes with any of those, by since when they wait.
	behind, unhandled uint64
	pending           pending
}

// counted is how a lane is counted.
type counted struct {
	touched           bool
	behind, unhandled uint64
	since             int64 // in nanoseconds
	place             int   // in pending, from 1; 0 for none
}

// pending is a heap of lanes by since when something of them waits to be committed.
type pending []*lane

func (p pending) Len() int { return len(p) }

func (p pending) Less(i, j int) bool { return p[i].counted.since < p[j].counted.since }

func (p pending) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].counted.place, p[j].counted.place = i+1, j+1
}

// Push and Pop are the heap's.
func (p *pending) Push(x any) {
	l := x.(*lane)
	*p = append(*p, l)
	l.counted.place = len(*p)
}

func (p *pending) Pop() any {
	last := len(*p) - 1
	l := (*p)[last]
	(*p)[last] = nil
	*p, l.counted.place = (*p)[:last], 0
	return l
}

// set notes since when something of a lane waits.
func (p *pending) set(l *lane, since int64) {
	n := &l.counted
	switch {
	case n.place == 0:
		n.since = since
		heap.Push(p, l)
	case n.since != since:
		n.since = since
		heap.Fix(p, n.place-1)
	}
}

// stop takes a lane out.
func (p *pending) stop(l *lane) {
	if l.counted.place > 0 {
		heap.Remove(p, l.counted.place-1)
	}
}

// oldest is the earliest of those times, zero when nothing waits.
func (p pending) oldest() time.Time {
	if len(p) == 0 {
		return time.Time{}
	}
	return p[0].since
}

// touch has a lane counted anew at the end of the step.
func (e *Engine) touch(l *lane) {
	if !l.counted.touched {
		l.counted.touched = true
		e.counts.touched = append(e.counts.touched, l)
	}
}

// countLanes counts the lanes that changed.
func (e *Engine) countLanes() {
	c := &e.counts
	for i, l := range c.touched {
		c.touched[i] = nil
		l.counted.touched = false
		c.set(l, l.behind(), l.unhandled())
	}
	if c.touched = c.touched[:0]; cap(c.touched) > lookup {
		c.touched = nil
	}
}

// uncount takes a lane that is forgotten out of the sums.
func (e *Engine) uncount(l *lane) { e.counts.set(l, 0, 0) }

func (c *counts) set(l *lane, behind, unhandled uint64) {
	n := &l.counted
	c.behind += behind - n.behind
	c.unhandled += unhandled - n.unhandled
	n.behind, n.unhandled = behind, unhandled
	if unhandled == 0 || l.since.IsZero() {
		c.pending.stop(l)
		return
	}
	c.pending.set(l, l.since.UnixNano())
}

// behind counts the versions that were heard of and are not delivered.
func (l *lane) behind() uint64 {
	if l.known.loaded && l.heard.target > l.known.cursor.Version {
		return l.heard.target - l.known.cursor.Version
	}
	return 0
}

// shardCounts are the sums over all shards.
type shardCounts struct {
	// up and current shards; current ones hold CaughtUp up no more.
	up, current, settled int
	// listing shards, and the aggregates that their lists have shown.
	listing, listed int
	// lagging are the shards whose follower does not show something, by since when.
	lagging timers
	// nodes are those that are watched.
	nodes map[string]*watchedNode
}

// watchedNode counts the links that stand at a node, those of which it said that it
// leads, and those that are disputed.
type watchedNode struct{ links, leading, disputed int }

// countedLink is how a link is counted.
type countedLink struct {
	node            string // empty for none
	leads, disputed bool
}

// countedShard is how a shard is counted.
type countedShard struct {
	up, current bool
	listing     bool
	listed      int
	lagging     timer
}

// count counts a shard anew. Steps that change one stir it.
func (e *Engine) count(sh *shard) {
	c, n := &e.shardCounts, &sh.counted
	if up := sh.up(); up != n.up {
		n.up = up
		c.up += oneIf(up)
	}
	if current := sh.current(); current != n.current {
		n.current = current
		c.current += oneIf(current)
	}
	listing, listed := sh.list.active && !sh.list.peek, 0
	if listing {
		listed = len(sh.list.seen)
	}
	if listing != n.listing {
		n.listing = listing
		c.listing += oneIf(listing)
	}
	c.listed += listed - n.listed
	n.listed = listed
	for i := range sh.links {
		e.countLink(&sh.links[i])
	}
	if sh.follow.behind.IsZero() {
		c.lagging.stop(&n.lagging)
		return
	}
	c.lagging.set(&n.lagging, sh.follow.behind)
}

// countLink counts a link anew.
func (e *Engine) countLink(l *link) {
	is := countedLink{}
	if l.phase == acked {
		is = countedLink{l.node, l.leads, l.disputed}
	}
	if is == l.counted {
		return
	}
	e.addLink(l.counted, -1)
	e.addLink(is, 1)
	l.counted = is
}

// addLink adds a link to the sums of its node, or takes it out.
func (e *Engine) addLink(l countedLink, by int) {
	if l.node == "" {
		return
	}
	nodes := e.shardCounts.nodes
	n := nodes[l.node]
	if n == nil {
		n = new(watchedNode)
		nodes[l.node] = n
	}
	n.links += by
	if l.leads {
		n.leading += by
	}
	if l.disputed {
		n.disputed += by
	}
	if n.links == 0 {
		delete(nodes, l.node)
	}
}

// setSettled notes whether a shard is reconciled since its links were acknowledged.
func (e *Engine) setSettled(sh *shard, settled bool) {
	if settled != sh.settled {
		sh.settled = settled
		e.shardCounts.settled += oneIf(settled)
	}
}

// oneIf is 1 or -1.
func oneIf(b bool) int {
	if b {
		return 1
	}
	return -1
}

// Stats returns a snapshot.
func (e *Engine) Stats(now time.Time) Stats {
	e.countLanes()
	s, c := e.stats, &e.shardCounts
	s.Shards, s.Subscribed = len(e.shards), c.up
	s.Listing, s.Listed = c.listing, c.listed
	if since := c.lagging.next(); !since.IsZero() {
		s.Lag = max(0, now.Sub(since))
	}
	s.Behind = e.counts.behind
	s.Buffered = e.buffered
	s.Dirty = e.queued()
	return s
}
