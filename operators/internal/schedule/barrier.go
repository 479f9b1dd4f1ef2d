package schedule

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// barrier is a CaughtUp that waits for what was pulled before it.
type barrier struct {
	change stream.Change
	// waits has, for each aggregate that is waited for, the last cursor of it that
	// was pulled; the zero cursor waits until the aggregate rests.
	waits   map[msg.Key]checkpoint.Cursor
	failure Failure
	due     time.Time // when a CaughtUp that failed is tried again
}

func (s *Schedule) addBarrier(c *stream.Change) {
	b := &barrier{change: *c, waits: make(map[msg.Key]checkpoint.Cursor, len(s.aggregates)+len(s.held))}
	for key, a := range s.aggregates {
		if !s.paused[key] {
			b.waits[key] = a.last
		}
	}
	for key, h := range s.held {
		if s.paused[key] {
			continue
		}
		switch h.Phase {
		case Waiting, Parking, Releasing, Released, Spilled, Paused:
			// Without one it comes before this by itself.
			if h.last.Compare(b.waits[key]) > 0 && h.last.Compare(h.handled) > 0 {
				b.waits[key] = h.last
			}
		}
	}
	s.barriers = append(s.barriers, b)
	if len(s.barriers) > maxBarriers {
		// The second oldest says nothing that the third does not.
		copy(s.barriers[1:], s.barriers[2:])
		s.barriers = s.barriers[:len(s.barriers)-1]
	}
}

// maxBarriers bounds the CaughtUp that wait: beyond, older ones give way.
const maxBarriers = 8

// caughtUp returns the CaughtUp that may be handled now.
func (s *Schedule) caughtUp() *stream.Change {
	if s.message || len(s.barriers) == 0 || len(s.barriers[0].waits) > 0 || !s.barriers[0].due.IsZero() {
		return nil
	}
	return &s.barriers[0].change
}

// reached notes that an aggregate was handled up to a cursor.
func (s *Schedule) reached(key msg.Key, cursor checkpoint.Cursor) {
	for _, b := range s.barriers {
		if last, ok := b.waits[key]; ok && !last.IsZero() && cursor.Compare(last) >= 0 {
			delete(b.waits, key)
		}
	}
}

// rested notes that nothing that was pulled of an aggregate is left to do, up to last. A
// CaughtUp that came between the handling of its last change and the end of that task
// waits for it, too. One that waits for what was dropped, and is read again, waits on.
func (s *Schedule) rested(key msg.Key, last checkpoint.Cursor) {
	for _, b := range s.barriers {
		if waited, ok := b.waits[key]; ok && (waited.IsZero() || last.Compare(waited) >= 0) {
			delete(b.waits, key)
		}
	}
}

// pass notes that an aggregate is waited for no longer: it is parked or lost.
func (s *Schedule) pass(key msg.Key) {
	for _, b := range s.barriers {
		delete(b.waits, key)
	}
}
