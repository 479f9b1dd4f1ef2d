package schedule

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Handled is a handled change whose cursor is to be stored.
type Handled struct {
	Key       msg.Key
	Cursor    checkpoint.Cursor
	Previous  checkpoint.Cursor
	Owner     checkpoint.Owner
	Partition uint32
}

// saves collects cursors until they are stored. Generations number the saves: a
// change belongs to the one that is collected when it is handled.
type saves struct {
	handled    []Handled
	oldest     time.Time
	generation uint64
	// underWay is the generation that is being stored; it is that collected where
	// none is.
	underWay uint64
	taken    int
	// urgent asks for a save at once: something waits for it.
	urgent bool
}

func (s *saves) add(now time.Time, c *stream.Change) {
	if len(s.handled) == 0 {
		s.oldest = now
	}
	s.handled = append(s.handled, Handled{Key: c.Key, Cursor: c.Cursor, Previous: c.Previous, Owner: c.Owner, Partition: c.Partition})
}

// stored reports whether all that was handled up to a generation is stored.
func (s *saves) stored(generation uint64) bool {
	return s.underWay > generation || (s.underWay == s.generation && len(s.handled) == 0)
}

// lose drops what was handled of a partition.
func (s *saves) lose(partition uint32) {
	kept := s.handled[:0]
	for _, h := range s.handled {
		if h.Partition != partition {
			kept = append(kept, h)
		}
	}
	s.handled = kept
}

// Unsaved counts the changes that were handled and are not stored, with those that
// are being stored.
func (s *Schedule) Unsaved() int { return len(s.saves.handled) + s.saves.taken }

// SaveDue returns when cursors should be stored: interval after the oldest was
// handled, at once when something waits for it; zero when there are none.
func (s *Schedule) SaveDue(interval time.Duration) time.Time {
	if len(s.saves.handled) == 0 {
		return time.Time{}
	}
	if s.saves.urgent {
		return s.saves.oldest
	}
	return s.saves.oldest.Add(interval)
}

// Collected counts the cursors that wait for the next save.
func (s *Schedule) Collected() int { return len(s.saves.handled) }

// TakeSave returns what is to be stored now, appended to into. One save at a time:
// it ends with Saved.
func (s *Schedule) TakeSave(into []Handled) []Handled {
	into = append(into, s.saves.handled...)
	s.saves.taken = len(s.saves.handled)
	s.saves.handled = s.saves.handled[:0]
	s.saves.underWay = s.saves.generation
	s.saves.generation++
	s.saves.urgent = false
	return into
}

// Saved ends the save under way: its cursors are stored, or concern nobody.
func (s *Schedule) Saved() {
	s.saves.taken = 0
	s.saves.underWay = s.saves.generation
}
