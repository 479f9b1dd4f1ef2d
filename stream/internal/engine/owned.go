package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// follows reports whether an aggregate is in the scope and in a partition that is
// owned.
func (e *Engine) follows(key msg.Key) bool {
	if e.opts.Partition == nil {
		return e.opts.Contains(key)
	}
	return e.opts.Contains(key) && e.owned[e.opts.Partition(key)]
}

// SetOwned changes which partitions of Options.Partition are followed; none are
// before the first call. Lanes of partitions that left are dropped at once,
// whatever they are at; the caller drops what it has buffered of them in the same
// step. The shards of partitions that were gained are reconciled from the stored
// cursors, and another CaughtUp follows.
func (e *Engine) SetOwned(now time.Time, partitions []uint32) {
	if e.opts.Partition == nil {
		return
	}
	before := e.owned
	e.owned = make(map[uint32]bool, len(partitions))
	var gained []uint32
	for _, p := range partitions {
		e.owned[p] = true
		if !before[p] {
			gained = append(gained, p)
		}
	}
	e.recent.clear() // another owner may store cursors of what left
	for _, l := range sortedLanes(e.allLanes(), func(l *lane) bool { return !e.follows(l.key) }) {
		e.expel(l)
	}
	e.takeOver(now, gained)
	e.pump(now)
}

// Uncommitted is how far an aggregate was delivered and how far it is stored.
type Uncommitted struct{ Delivered, Stored checkpoint.Cursor }

// Uncommitted returns the aggregates of which something was delivered and is not
// committed, of those asked for.
func (e *Engine) Uncommitted(which func(msg.Key) bool) map[msg.Key]Uncommitted {
	out := make(map[msg.Key]Uncommitted)
	for key, l := range e.lanes {
		if k := &l.known; k.loaded && k.cursor.Compare(k.committed) > 0 && which(key) {
			out[key] = Uncommitted{Delivered: k.cursor, Stored: k.committed}
		}
	}
	return out
}

// Delivered is how far an aggregate that has work or uncommitted deliveries was
// delivered; zero for any other.
func (e *Engine) Delivered(key msg.Key) checkpoint.Cursor {
	if l := e.lanes[key]; l != nil && l.known.loaded {
		return l.known.cursor
	}
	return checkpoint.Cursor{}
}

// takeOver watches the shards of the owned partitions, and no others, and
// reconciles those of the gained ones.
func (e *Engine) takeOver(now time.Time, gained []uint32) {
	wanted, news := e.shardsOf(e.owned), make(map[uint64]bool)
	for _, p := range gained {
		e.eachShardOf(p, func(shard uint64) { news[shard] = true })
	}
	for _, sh := range e.shards {
		parts := 0
		if wanted[sh.id] {
			parts = e.opts.Parts
		}
		switch {
		case len(sh.links) != parts:
			sh.gained = parts > 0
			e.resize(now, sh, parts)
			e.setSettled(sh, false)
			sh.continuous = false
			sh.list = &noList
			e.startShard(sh)
			e.subscribed(sh)
		case news[sh.id] && sh.up() && parts > 0:
			e.setSettled(sh, false)
			e.startShard(sh)
			e.beginListing(sh, Gained)
		case news[sh.id] && parts > 0:
			sh.gained = true
			e.startShard(sh) // it is listed once it is up
		}
	}
	if len(gained) > 0 && e.phase == Live {
		e.settle(CatchingUp, 0, nil)
	}
}

// resize gives a shard so many links.
func (e *Engine) resize(now time.Time, sh *shard, parts int) {
	for len(sh.links) > parts {
		e.discard(sh, len(sh.links)-1)
		sh.links = sh.links[:len(sh.links)-1]
		e.links--
	}
	for len(sh.links) < parts {
		sh.links = append(sh.links, link{})
		e.links++
		e.open(now, sh, len(sh.links)-1)
	}
}

// partsOf is how many links a shard is to have.
func (e *Engine) partsOf(shard uint64) int {
	if e.opts.Partition != nil && !e.shardsOf(e.owned)[shard] {
		return 0
	}
	return e.opts.Parts
}

// shardsOf are the shards that may hold aggregates of some partitions.
func (e *Engine) shardsOf(partitions map[uint32]bool) map[uint64]bool {
	shards := make(map[uint64]bool)
	for p := range partitions {
		e.eachShardOf(p, func(shard uint64) { shards[shard] = true })
	}
	return shards
}

func (e *Engine) eachShardOf(partition uint32, f func(shard uint64)) {
	n := uint64(len(e.shards))
	if e.opts.PartitionShards == nil {
		for shard := range n {
			f(shard)
		}
		return
	}
	for _, shard := range e.opts.PartitionShards(partition, n) {
		if shard < n {
			f(shard)
		}
	}
}
