package schedule

import (
	"github.com/celeriant/celeriant-go/msg"
)

// spill makes room for others when one aggregate has taken more than half of it:
// all but its share is dropped, and read again once the share was handled.
// Otherwise the others would go at the pace of that one.
func (s *Schedule) spill() {
	if s.pulled < s.limits.Changes && s.bytes < s.limits.Bytes {
		return
	}
	for _, a := range s.aggregates {
		waiting := a.waiting()
		if len(waiting) <= s.pulled/2 || len(waiting) < 2 {
			continue
		}
		if h := s.held[a.key]; h != nil {
			return // its failure is being settled
		}
		keep := max(1, len(waiting)/8)
		last := waiting[len(waiting)-1]
		for i := range waiting[keep:] {
			s.pulled--
			s.bytes -= size(&waiting[keep+i])
		}
		clear(waiting[keep:])
		a.queue = a.queue[:a.head+keep]
		h := &Hold{Key: a.key, Owner: last.Owner, Partition: last.Partition, Phase: Spilled, last: last.Cursor, index: -1}
		s.held[a.key] = h
		s.toHold = append(s.toHold, a.key)
		return
	}
}

// drained notes that a spilled aggregate has nothing left here. The aggregate is
// read again once that is stored.
func (s *Schedule) drained(key msg.Key) {
	h := s.held[key]
	h.generation = s.saves.generation
	if s.drainedKeys == nil {
		s.drainedKeys = make(map[msg.Key]struct{})
	}
	s.drainedKeys[key] = struct{}{}
	s.saves.urgent = true
}

// spills yields the drained aggregates whose cursors are stored.
func (s *Schedule) spills() func(yield func(msg.Key) bool) {
	return func(yield func(msg.Key) bool) {
		for key := range s.drainedKeys {
			h := s.held[key]
			if h == nil || h.Phase != Spilled {
				delete(s.drainedKeys, key)
				continue
			}
			if s.saves.stored(h.generation) {
				delete(s.drainedKeys, key)
				if !yield(key) {
					return
				}
			}
		}
	}
}
