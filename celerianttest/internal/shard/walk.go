package shard

import "github.com/celeriant/celeriant-go/msg"

// Wire sizes of list entries, bounds for either codec.
const (
	orgItemBytes  = 24
	typeItemBytes = 48
)

// byEntry marks a cursor that counts entries in order of entry: the rest of a
// segment that was active when the page began and did not fit the response cap. The
// reference server never pages through the active segment (section 8).
const byEntry = 1 << 63

// walk pages through the segments, newest first: the active one whole, in
// order of entry; older ones in ascending order while the page is short of
// its size. Cursors are (segment << 32) + offset, as the reference's are.
type walk struct {
	segments []*segment
	pageSize int
	most     int // what the response cap lets through, at least 1
	count    int
	visit    func(g *segment, index int) (added bool)
}

// order is a roster's order of visiting: n indexes, translated by sorted
// unless that is nil.
type order struct {
	n      int
	sorted []int32
}

func (r *roster[K]) order() order { return order{n: len(r.entered), sorted: r.sorted} }

func (s *Shard) newWalk(itemBytes uint64, visit func(*segment, int) bool) *walk {
	most := 1
	if s.options.MaxResponseSize > replyOverhead+itemBytes {
		most = int((s.options.MaxResponseSize - replyOverhead) / itemBytes)
	}
	return &walk{segments: s.catalog.segments, pageSize: s.options.ListPageSize, most: most, visit: visit}
}

// run visits one page and returns the next cursor, absent at the end. A
// cursor that no page ended with is an empty last page.
func (w *walk) run(cursor msg.Opt[uint64], orderOf func(*segment) order) msg.Opt[uint64] {
	active := len(w.segments) - 1
	number, offset, entry := active, 0, true
	if at, given := cursor.Get(); given {
		entry = at&byEntry != 0
		at &^= byEntry
		if at>>32 > uint64(active) || (!entry && at>>32 == uint64(active)) {
			return msg.None[uint64]()
		}
		number, offset = int(at>>32), int(at&(1<<32-1))
	}
	for ; number >= 0; number, offset, entry = number-1, 0, false {
		if stopped, at := w.visitSegment(w.segments[number], orderOf(w.segments[number]), offset, entry); stopped {
			next := uint64(number)<<32 + uint64(at)
			if entry {
				next |= byEntry
			}
			return msg.Some(next)
		}
	}
	return msg.None[uint64]()
}

// visitSegment visits a segment from an offset on and tells where it stopped
// because the page is full.
func (w *walk) visitSegment(g *segment, o order, offset int, entry bool) (stopped bool, at int) {
	for i := offset; i < o.n; i++ {
		if w.count >= w.most || (!entry && w.count >= w.pageSize) {
			return true, i
		}
		index := i
		if !entry {
			index = int(o.sorted[i])
		}
		if w.visit(g, index) {
			w.count++
		}
	}
	return false, 0
}
