package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// Hold stops the delivery of aggregates until Release: nothing of them is delivered
// once it has returned, what waits is dropped, and what was delivered and not
// committed is forgotten. Held aggregates are still heard of, and what waits of them counts
// as unhandled, unless [Subscription.ReportParked] names them. Each costs some 600
// bytes. Holding an aggregate again does nothing.
func (s *Subscription) Hold(keys ...msg.Key) {
	held := make(map[msg.Key]struct{}, len(keys))
	for _, key := range keys {
		held[key] = struct{}{}
	}
	s.feed(func(e *engine.Engine, now time.Time) {
		s.box.restrict(func(key msg.Key) bool { _, holds := held[key]; return !holds })
		e.HoldPending(now, keys)
		if s.member != nil {
			s.member.held(keys)
		}
	})
}

// Release goes on with held aggregates at their stored cursors, in order and with
// nothing missing. Aggregates that are not held are passed over.
func (s *Subscription) Release(keys ...msg.Key) {
	s.feed(func(e *engine.Engine, now time.Time) { e.Release(now, keys) })
}

// Redo delivers an aggregate once more: a Reset, then its history from the first
// batch that can be read. Of a held aggregate that happens once it is released; an
// aggregate of which nothing was delivered has nothing to reset.
func (s *Subscription) Redo(key msg.Key) {
	s.feed(func(e *engine.Engine, now time.Time) { e.Redo(now, key) })
}
