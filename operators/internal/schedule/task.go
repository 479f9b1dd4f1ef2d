package schedule

import (
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// Task is work for one worker: changes of aggregates of one partition, in order
// within each. A Task is reused: the memory of Changes belongs to the worker.
type Task struct {
	Changes []stream.Change
	// Failure is what is known of earlier attempts at the only change.
	Failure Failure

	aggregates []*aggregate
}

// Demand bounds a task.
type Demand struct {
	// Changes and Bytes bound what it carries; one change is always given.
	Changes, Bytes int
	// Wait is how long changes are collected, from the first on, until Full of them
	// or Bytes of payload are there.
	Wait time.Duration
	Full int
}

// Take fills a task, or reports that there is nothing to be done now. An
// aggregate that failed is given alone, with the change that failed.
func (s *Schedule) Take(now time.Time, d Demand, t *Task) bool {
	t.reset()
	if s.pausedAll {
		return false
	}
	if c := s.caughtUp(); c != nil {
		s.message = true
		s.running++
		t.Changes = append(t.Changes, *c)
		t.Failure = s.barriers[0].failure
		return true
	}
	if opens := s.Opens(d); now.Before(opens) {
		return false
	}
	l := s.turn()
	if l == nil {
		return false
	}
	s.fill(l, d, t)
	if !l.empty() {
		s.ring = append(s.ring, l)
		l.inRing = true
	}
	s.running++
	return true
}

// Opens returns until when changes are collected; zero if they are not.
func (s *Schedule) Opens(d Demand) time.Time {
	if d.Wait <= 0 || len(s.ring) == 0 || s.pulled >= d.Full || s.bytes >= d.Bytes || len(s.barriers) > 0 {
		return time.Time{}
	}
	return s.opened.Add(d.Wait)
}

// Ready reports whether a task may be there.
func (s *Schedule) Ready() bool {
	return !s.pausedAll && (len(s.ring) > 0 || s.caughtUp() != nil)
}

// Running counts the tasks under way.
func (s *Schedule) Running() int { return s.running }

// Resting reports whether nothing is being handled and nothing is to be.
func (s *Schedule) Resting() bool { return s.running == 0 && !s.Ready() }

// turn returns the lane whose turn it is.
func (s *Schedule) turn() *lane {
	for len(s.ring) > 0 {
		l := s.ring[0]
		n := copy(s.ring, s.ring[1:])
		s.ring[n] = nil
		s.ring = s.ring[:n]
		l.inRing = false
		if !l.empty() {
			return l
		}
	}
	return nil
}

func (s *Schedule) fill(l *lane, d Demand, t *Task) {
	bytes := 0
	for !l.empty() {
		a := l.ready[l.head]
		first := &a.queue[a.head]
		failed := s.failed(first)
		if len(t.Changes) > 0 && (failed || len(t.Changes) >= d.Changes || bytes+size(first) > d.Bytes) {
			return
		}
		l.next()
		a.running = true
		t.aggregates = append(t.aggregates, a)
		if failed {
			t.Failure = s.held[a.key].Failure
		}
		for {
			c := &a.queue[a.head]
			bytes += size(c)
			t.Changes = append(t.Changes, *c)
			*c = stream.Change{} // the worker's now
			if a.head++; a.head == len(a.queue) {
				a.queue, a.head = a.queue[:0], 0
				break
			}
			if failed || len(t.Changes) >= d.Changes || bytes+size(&a.queue[a.head]) > d.Bytes {
				break
			}
		}
		if failed {
			return
		}
	}
}

func (t *Task) reset() {
	clear(t.Changes)
	clear(t.aggregates)
	t.Changes, t.aggregates, t.Failure = t.Changes[:0], t.aggregates[:0], Failure{}
}

// Lost reports whether the partition of a change of the task left meanwhile.
func (s *Schedule) Lost(t *Task, c *stream.Change) bool {
	for _, a := range t.aggregates {
		if a.key == c.Key {
			return a.lost
		}
	}
	return false
}

// Done ends a task. Its changes have had their outcomes: each was handled, put on
// hold, or, if the consumer ends, none of both.
func (s *Schedule) Done(now time.Time, t *Task) {
	s.running--
	if len(t.aggregates) == 0 {
		s.message = false
		return
	}
	for i := range t.Changes {
		s.pulled--
		s.bytes -= size(&t.Changes[i])
	}
	for _, a := range t.aggregates {
		a.running = false
		switch {
		case len(a.waiting()) > 0 && !a.lost:
			s.queue(a)
		default:
			key := a.key
			switch h := s.held[key]; {
			case h == nil:
				s.rested(key, a.last)
			case h.Phase == Spilled:
				s.drained(key)
			case h.Phase == Paused && !s.isPaused(key):
				s.resume(h)
			}
			s.drop(a)
		}
	}
	if s.pulled > 0 {
		s.opened = now
	}
}
