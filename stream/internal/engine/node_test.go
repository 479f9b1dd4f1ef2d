package engine_test

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// node serves reads and lists from the records applied to it.
type node struct {
	rng        *rand.Rand
	shardOf    func(msg.Key) uint64
	responses  int64 // bytes a response may have
	accepts    int64 // bytes of a response the client takes
	pageSize   int
	segment    int // records of a segment
	applied    uint64
	aggregates map[msg.Key]*aggregate
	order      []*aggregate
	segments   [][][]record // of each shard, oldest first
	quirks     bool
	seen       coverage
}

// aggregate is what reads see.
type aggregate struct {
	key     msg.Key
	log     []*entry
	start   int // of the present life
	floor   uint64
	deleted bool
	// ghost: deleted, but served as if alive, since a restart.
	ghost bool
	// resurfaced: reads from 1 run into earlier lives.
	resurfaced bool
	// twice is a batch the node holds two times.
	twice *entry
}

func (n *node) apply(r record) {
	a := n.aggregates[r.key]
	if a == nil {
		a = &aggregate{key: r.key, floor: 1}
		n.aggregates[r.key] = a
		n.order = append(n.order, a)
	}
	switch r.op {
	case msg.OpWrite:
		if len(a.log) > 0 && r.entry.life != a.log[len(a.log)-1].life {
			a.start, a.resurfaced = len(a.log), false
		} else if a.deleted && r.entry.life > 0 {
			a.resurfaced = true // a continuation over a fresh life
		}
		if a.deleted {
			a.floor = 1
		}
		a.log = append(a.log, r.entry)
		a.deleted, a.ghost = false, false
	case msg.OpTrimStart:
		a.floor = r.keepFrom
	case msg.OpDelete:
		a.deleted, a.ghost, a.twice = true, false, nil
	}
	n.applied = r.seq
	shard := n.shardOf(r.key)
	segments := n.segments[shard]
	if len(segments) == 0 || len(segments[len(segments)-1]) >= n.segment {
		segments = append(segments, nil)
	}
	last := len(segments) - 1
	segments[last] = append(segments[last], r)
	n.segments[shard] = segments
}

// restarted forgets tombstones, shows earlier lives and repeats batches.
func (n *node) restarted() {
	for _, a := range n.order {
		if !n.quirks {
			return
		}
		if a.deleted && n.rng.IntN(2) == 0 {
			a.ghost = true
		}
		if a.start > 0 && n.rng.IntN(2) == 0 {
			a.resurfaced = true
		}
		if n.rng.IntN(4) == 0 {
			a.twice = a.log[len(a.log)-1]
		}
	}
}

// read answers as server-semantics 5 and 4.3 say; ok is false when there is no
// answer, for which failure tells why.
func (n *node) read(key msg.Key, from uint64, to msg.Opt[uint64]) (page engine.Page, failure engine.Failure, ok bool) {
	a := n.aggregates[key]
	switch {
	case a == nil || len(a.log) == 0 || (a.deleted && !a.ghost):
		return page, engine.Failure{Kind: engine.NotFound}, false
	case !a.ghost && from < a.floor:
		return page, engine.Failure{Kind: engine.BelowFloor, Minimum: a.floor}, false
	case from == 0:
		return page, engine.Failure{Kind: engine.BelowFloor, Minimum: 1}, false
	}
	if a.ghost {
		n.seen["ghost read"]++
	}
	return n.page(n.collect(a, from, to))
}

// collect goes backwards from the newest batch to the first below from.
func (n *node) collect(a *aggregate, from uint64, to msg.Opt[uint64]) []*entry {
	start := len(a.log)
	for start > 0 && a.log[start-1].version() >= from && (start > a.start || a.resurfaced || a.ghost) {
		start--
	}
	var found []*entry
	for _, e := range a.log[start:] {
		if to.Set && e.version() > to.Value {
			continue
		}
		found = append(found, e)
		if e == a.twice {
			n.seen["repeated batch"]++
			found = append(found, e)
		}
		if e.life != a.log[len(a.log)-1].life {
			n.seen["earlier life in a page"]++
		}
	}
	return found
}

func (n *node) page(found []*entry) (page engine.Page, failure engine.Failure, ok bool) {
	bytes := int64(0)
	for i, e := range found {
		if i > 0 && bytes+e.stored > n.responses {
			page.Next = msg.Some(e.version())
			n.leap(&page, found[i:])
			break
		}
		bytes += e.stored
		page.Batches = append(page.Batches, e.batch)
	}
	switch {
	case bytes > n.responses:
		n.seen["oversize batch"]++
		return page, engine.Failure{Kind: engine.Silent}, false
	case bytes > n.accepts:
		n.seen["response too large"]++
		return page, engine.Failure{Kind: engine.TooLarge}, false
	}
	return page, engine.Failure{}, true
}

// leap adds batches above the next version to a page, with a hole below them.
func (n *node) leap(page *engine.Page, rest []*entry) {
	if !n.quirks || len(rest) < 2 || n.rng.IntN(3) > 0 {
		return
	}
	for _, e := range rest[1:] {
		if e.version() > page.Next.Value {
			n.seen["batch above next"]++
			page.Batches = append(page.Batches, e.batch)
		}
	}
}

// list answers one page: the active segment whole and in no order, older ones
// by key. The cursor is the segment to go on with and the place in it.
func (n *node) list(shard uint64, cursor msg.Opt[uint64]) (items []msg.AggregateItem, next msg.Opt[uint64]) {
	segments := n.segments[shard]
	at, offset := len(segments)-1, 0
	if cursor.Set {
		n.seen["second list page"]++
		at, offset = int(cursor.Value>>32), int(uint32(cursor.Value))
		if at >= len(segments) {
			return nil, next // of before a restart
		}
	}
	for ; at >= 0; at, offset = at-1, 0 {
		summary := summarize(segments[at])
		if !cursor.Set && at == len(segments)-1 {
			n.rng.Shuffle(len(summary), func(i, j int) { summary[i], summary[j] = summary[j], summary[i] })
			items = append(items, summary...)
			continue
		}
		room := n.pageSize - len(items)
		if room <= 0 || (cursor.Set && n.rng.IntN(8) == 0) {
			return items, msg.Some(uint64(at)<<32 | uint64(offset))
		}
		offset = min(offset, len(summary))
		if rest := summary[offset:]; len(rest) > room {
			items = append(items, rest[:room]...)
			return items, msg.Some(uint64(at)<<32 | uint64(offset+room))
		}
		items = append(items, summary[offset:]...)
	}
	return items, msg.None[uint64]()
}

// summarize tells what one segment knows of its aggregates, by key.
func summarize(records []record) []msg.AggregateItem {
	byKey := make(map[msg.Key]*msg.AggregateItem)
	for _, r := range records {
		item := byKey[r.key]
		if item == nil || r.op == msg.OpDelete || (r.op == msg.OpWrite && (item.Deleted || r.entry.version() == 1)) {
			item = &msg.AggregateItem{Key: r.key, Deleted: r.op == msg.OpDelete}
			byKey[r.key] = item
		}
		switch r.op {
		case msg.OpWrite:
			item.BatchCount++
			item.MaxVersion, item.MaxServerTimestamp = r.entry.version(), r.entry.batch.ServerTimestamp
		case msg.OpTrimStart:
			item.MinVersion = r.keepFrom
		}
	}
	items := make([]msg.AggregateItem, 0, len(byKey))
	for _, key := range slices.SortedFunc(maps.Keys(byKey), msg.Key.Compare) {
		items = append(items, *byKey[key])
	}
	return items
}
