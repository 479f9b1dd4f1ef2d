package shard

import (
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// catalog is what lists answer from: one summary per log segment, of
// committed records only (section 8). The last segment is the active one.
type catalog struct {
	limit    uint64
	segments []*segment
}

// segment summarises one log segment.
type segment struct {
	bytes uint64
	orgs  roster[msg.ID]
	types roster[msg.TypeItem]
	keys  roster[msg.Key]
	items []item // by the index of keys
}

// item is what a segment holds of one aggregate.
type item struct {
	deleted bool // the segment's newest record of it is a delete
	reborn  bool // there was a delete before what is counted: older segments hold former lives
	count   uint64
	min     uint64
	version uint64
	time    uint64
	size    uint64
}

func newCatalog(limit uint64) *catalog {
	return &catalog{limit: limit, segments: []*segment{newSegment()}}
}

func newSegment() *segment {
	return &segment{
		orgs:  newRoster(msg.ID.Compare),
		types: newRoster(compareTypes),
		keys:  newRoster(msg.Key.Compare),
	}
}

// commit counts a record, in a new segment if the active one is full.
func (c *catalog) commit(r *Record) {
	active := c.segments[len(c.segments)-1]
	size := r.footprint()
	if active.bytes > 0 && active.bytes+size > c.limit {
		active.seal()
		active = newSegment()
		c.segments = append(c.segments, active)
	}
	active.bytes += size
	for i := range r.Writes {
		active.item(r.Writes[i].Key).write(&r.Writes[i])
	}
	for i := range r.Deletes {
		*active.item(r.Deletes[i].Key) = item{deleted: true}
	}
	if r.Kind == RecordTrim {
		it := active.item(r.Trim.Key)
		it.min, it.version = r.Trim.KeepFrom, r.Trim.MaxVersion
	}
}

// item returns the item of an aggregate, made if need be.
func (s *segment) item(key msg.Key) *item {
	i, added := s.keys.enter(key)
	if added {
		s.orgs.enter(key.Org)
		s.types.enter(msg.TypeItem{Org: key.Org, Type: key.Type})
		s.items = append(s.items, item{})
	}
	return &s.items[i]
}

func (it *item) write(e *WriteEntry) {
	if it.deleted {
		*it = item{reborn: true}
	}
	it.count++
	it.size += e.stored
	it.min, it.version = e.MinVersion, e.MaxVersion
	it.time = e.Batch.ServerTimestamp
}

func (s *segment) seal() {
	s.orgs.seal()
	s.types.seal()
	s.keys.seal()
}

func compareTypes(a, b msg.TypeItem) int {
	if c := a.Org.Compare(b.Org); c != 0 {
		return c
	}
	return a.Type.Compare(b.Type)
}

// roster is a set that remembers the order of entry and, once sealed, has the
// ascending order too.
type roster[K comparable] struct {
	compare func(a, b K) int
	entered []K
	at      map[K]int // nil once sealed
	sorted  []int32   // indexes into entered; nil until sealed
}

func newRoster[K comparable](compare func(a, b K) int) roster[K] {
	return roster[K]{compare: compare, at: make(map[K]int)}
}

// enter returns the index of k and whether it is new.
func (r *roster[K]) enter(k K) (index int, added bool) {
	if i, known := r.at[k]; known {
		return i, false
	}
	r.at[k] = len(r.entered)
	r.entered = append(r.entered, k)
	return len(r.entered) - 1, true
}

func (r *roster[K]) seal() {
	r.at = nil
	r.sorted = make([]int32, len(r.entered))
	for i := range r.sorted {
		r.sorted[i] = int32(i)
	}
	slices.SortFunc(r.sorted, func(a, b int32) int { return r.compare(r.entered[a], r.entered[b]) })
}
