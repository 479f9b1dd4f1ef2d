package schedule

import (
	"container/heap"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// SetPaused says what nothing may be handled of: everything, or some aggregates.
// SetPaused replaces what was said before; what is paused no longer is read again from
// its stored cursor. A handler at work goes on.
func (s *Schedule) SetPaused(all bool, keys map[msg.Key]bool) {
	s.pausedAll, s.paused = all, keys
	if all {
		s.pausePulled()
	}
	for key := range keys {
		s.pause(key)
	}
	for key, h := range s.held {
		if h.Phase == Paused && !s.isPaused(key) {
			s.resume(h)
		}
	}
}

// Paused tells what SetPaused was told: whether everything is paused, and how many
// aggregates are apart from that.
func (s *Schedule) Paused() (all bool, keys int) { return s.pausedAll, len(s.paused) }

func (s *Schedule) isPaused(key msg.Key) bool { return s.pausedAll || s.paused[key] }

// pausePulled puts everything that was pulled on hold: the owner of a subscription that
// is paused keeps nothing from the next one.
func (s *Schedule) pausePulled() {
	for key := range s.aggregates {
		s.pause(key)
	}
}

// pause puts one aggregate on hold, or has it stay there when what it waits for is over.
func (s *Schedule) pause(key msg.Key) {
	if s.paused[key] {
		s.pass(key) // a CaughtUp waits for what everybody waits for
	}
	h, a := s.held[key], s.aggregates[key]
	switch {
	case h == nil:
		h = &Hold{Key: key, index: -1, forget: true}
		if a != nil {
			h.Partition = a.lane.partition
		}
		s.held[key] = h
	case h.Phase == Paused:
		s.toHold = append(s.toHold, key) // the consumer forgets with the partition
		return
	case h.Phase == Parking || h.Phase == Parked:
		return
	}
	h.generation = s.saves.generation
	if a != nil {
		h.pulled(a.last)
		s.drop(a)
	}
	s.setPhase(h, Paused)
	s.toHold = append(s.toHold, key)
}

// resume has an aggregate read again once all that was handled of it is stored. One of
// which something is being handled is resumed by the end of that.
func (s *Schedule) resume(h *Hold) {
	if a := s.aggregates[h.Key]; a != nil && a.running {
		return
	}
	if h.Failure.Attempts > 0 && !h.forget {
		s.setPhase(h, Waiting)
		h.Due, h.generation = time.Time{}, s.saves.generation
		heap.Push(&s.retries, h)
		return
	}
	s.setPhase(h, Spilled)
	s.drained(h.Key)
}
