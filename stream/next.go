package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// Next returns the next slice of changes, never an empty one; the slice is the
// caller's. Next waits until there is one or ctx ends: then it returns ctx's
// cause, and may be called again. After the end of the subscription it returns
// what was read ahead, then the terminal cause.
//
// Calling Next takes the slice returned before off the buffer. Next stores
// nothing: call Commit, or Committed, when changes have been handled.
func (s *Subscription) Next(ctx context.Context) ([]Change, error) { return s.next(ctx, false) }

func (s *Subscription) next(ctx context.Context, hold bool) ([]Change, error) {
	for {
		s.consumed()
		p, err := s.box.take(ctx, hold)
		if err != nil {
			return nil, err
		}
		s.taken = p.bytes
		if len(p.changes) == 0 {
			continue
		}
		if s.gate == nil {
			return p.changes, nil
		}
		changes, err := s.gate.admit(ctx, p.changes)
		if err != nil {
			s.box.unget(p.changes)
			return nil, err
		}
		if len(changes) > 0 {
			return changes, nil
		}
	}
}

// consumed gives the bytes of the last slice back to the engine.
func (s *Subscription) consumed() {
	bytes := s.taken
	if bytes == 0 {
		return
	}
	s.taken = 0
	s.feed(func(e *engine.Engine, now time.Time) { e.Consumed(now, bytes) })
}
