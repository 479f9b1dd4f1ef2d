package stream

import (
	"maps"
	"slices"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// Watched is one watch of a shard: where it is open, whether that node leads as far as it
// told, when its last frame came, and how often it was opened.
type Watched = engine.Watch

// Watches returns the watches of the subscription at this moment, by shard; none after
// its end.
func (s *Subscription) Watches() []Watched {
	s.step.Lock()
	defer s.step.Unlock()
	if s.over {
		return nil
	}
	return s.engine.Watches()
}

// Owned returns the partitions that are owned here, in order; none for a subscription
// that is not shared.
func (s *Subscription) Owned() []uint32 {
	s.step.Lock()
	defer s.step.Unlock()
	if s.member == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.member.claims))
}
