package engine_test

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// consumer takes what the engine delivers, at its own speed, and stores cursors
// behind it. Its state is stored together with the cursor.
type consumer struct {
	box     []delivery
	taken   int64
	pending []handled
	store   map[msg.Key]checkpoint.Cursor
	// outstanding are the bytes delivered and not yet given back.
	outstanding int64
	saving      int
}

type delivery struct {
	bytes   int64
	changes []handled
}

// handled is a change and what the consumer holds of its aggregate after it.
type handled struct {
	key   msg.Key
	after view
}

// crash loses everything that is not stored.
func (c *consumer) crash() { *c = consumer{store: c.store} }

func (s *sim) deliver(c *engine.Command) {
	d := delivery{bytes: c.Bytes}
	bytes := int64(0)
	for i := range c.Changes {
		change := &c.Changes[i]
		bytes += change.Size()
		if after, moves := s.oracle.delivered(change); moves {
			d.changes = append(d.changes, handled{change.Key, after})
		}
	}
	if bytes != c.Bytes {
		s.failf("a delivery of %d bytes is declared as %d", bytes, c.Bytes)
	}
	s.consumer.outstanding += bytes
	s.oracle.buffered(s.consumer.outstanding, bytes)
	s.consumer.box = append(s.consumer.box, d)
}

// consume takes one delivery after another.
func (s *sim) consume(run int) {
	pause := s.within(20 * time.Millisecond)
	if !s.calm {
		switch s.set.Consumer {
		case 1:
			if s.rng.IntN(10) == 0 {
				pause = s.within(10 * time.Second)
			}
		case 2:
			pause = s.within(2 * time.Second)
		}
	}
	if s.calm && len(s.consumer.box) == 0 && len(s.consumer.pending) == 0 {
		pause = time.Second
	}
	s.after(pause, func() {
		if run != s.run {
			return
		}
		s.take()
		s.save()
		s.consume(run)
	})
}

func (s *sim) take() {
	c := &s.consumer
	if bytes := c.taken; bytes > 0 {
		c.taken = 0
		c.outstanding -= bytes
		s.input(func() { s.eng.Consumed(s.now, bytes) })
	}
	if len(c.box) == 0 {
		return
	}
	c.taken = c.box[0].bytes
	c.pending = append(c.pending, c.box[0].changes...)
	c.box = c.box[1:]
}

// save stores the cursors of some of what was handled, of each aggregate in
// order, and lets the engine know later.
func (s *sim) save() {
	c := &s.consumer
	if len(c.pending) == 0 || (!s.calm && s.rng.IntN(3) > 0) {
		return
	}
	if s.chance(s.set.Faults) {
		s.seen["commit failed"]++
		return
	}
	skipped := make(map[msg.Key]bool)
	latest := make(map[msg.Key]view)
	var rest []handled
	for _, h := range c.pending {
		if skipped[h.key] || (!s.calm && s.rng.IntN(4) == 0) {
			s.seen["partial commit"]++
			skipped[h.key] = true
			rest = append(rest, h)
			continue
		}
		latest[h.key] = h.after
	}
	c.pending = rest
	var entries []checkpoint.Entry
	for _, key := range s.keys {
		after, ok := latest[key]
		if !ok {
			continue
		}
		if after.cursor.Compare(c.store[key]) < 0 {
			s.failf("the cursor of %d goes back from %v to %v", numberOf(key), c.store[key], after.cursor)
		}
		c.store[key] = after.cursor
		s.oracle.done[key] = after
		entries = append(entries, checkpoint.Entry{Key: key, Cursor: after.cursor})
	}
	slices.SortFunc(entries, func(a, b checkpoint.Entry) int { return a.Key.Compare(b.Key) })
	c.saving++
	s.later(s.within(time.Second), func() {
		s.consumer.saving--
		s.eng.Committed(s.now, entries)
	})
}
