package schedule

import (
	"container/heap"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Phase is what an aggregate on hold waits for.
type Phase uint8

const (
	// Waiting: for the time of its next attempt.
	Waiting Phase = iota + 1
	// Parking: until it is stored that it is parked.
	Parking
	// Parked: until somebody asks for its release, or its log is void.
	Parked
	// Spilled: until what is left of it here was handled and stored. The
	// aggregate had more changes than its share while there was no room for
	// others.
	Spilled
	// Paused: until somebody lifts the pause of its aggregate, or of all.
	Paused
	// Releasing: until the consumer is told to read it again. Changes pulled before
	// must not be taken for those read then.
	Releasing
	// Released: it is read again; the failure is kept until the change that
	// failed was handled.
	Released
)

// Failure is what is known of the attempts at one change.
type Failure struct {
	Kind          stream.Kind
	Life, Version uint64
	// Attempts counts those that failed.
	Attempts    int
	First, Last time.Time
	// Err is the last error.
	Err error
	// Recorded tells that the checkpoint store holds a record of it.
	Recorded bool
	// Parked tells that this record says that its aggregate is parked.
	Parked bool
}

// FailureOf begins the failure of a change.
func FailureOf(c *stream.Change) Failure {
	f := Failure{Kind: c.Kind, Life: c.Cursor.Life, Version: c.Cursor.Version}
	if c.Kind == stream.Unreadable {
		f.Life, f.Version = 0, c.Version
	}
	return f
}

// Of reports whether f is a failure of that change.
func (f *Failure) Of(c *stream.Change) bool {
	g := FailureOf(c)
	return f.Attempts > 0 && f.Kind == g.Kind && f.Life == g.Life && f.Version == g.Version
}

// Hold is an aggregate that the consumer does not deliver at present.
type Hold struct {
	Key       msg.Key
	Owner     checkpoint.Owner
	Partition uint32
	Phase     Phase
	Failure   Failure
	// Due is when a Waiting one is tried again.
	Due time.Time

	last       checkpoint.Cursor // the last one pulled
	handled    checkpoint.Cursor // the last one handled since
	forget     bool              // with the release, the hold is over
	generation uint64            // the saves with all that was handled of it
	index      int               // in retries, -1 if not there
}

// retries are the waiting holds, the next one first.
type retries []*Hold

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].Due.Before(r[j].Due) }
func (r retries) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].index, r[j].index = i, j
}

func (r *retries) Push(x any) {
	h := x.(*Hold)
	h.index = len(*r)
	*r = append(*r, h)
}

func (r *retries) Pop() any {
	old := *r
	h := old[len(old)-1]
	old[len(old)-1] = nil
	*r = old[:len(old)-1]
	h.index = -1
	return h
}

// Failure returns what is known of earlier attempts at a change.
func (s *Schedule) Failure(c *stream.Change) Failure {
	if c.Kind == stream.CaughtUp {
		if len(s.barriers) > 0 {
			return s.barriers[0].failure
		}
		return Failure{}
	}
	if h := s.held[c.Key]; h != nil && h.Failure.Of(c) {
		return h.Failure
	}
	return FailureOf(c)
}

// failed reports whether a change that may be handled failed before.
func (s *Schedule) failed(c *stream.Change) bool {
	if len(s.held) == 0 {
		return false
	}
	h := s.held[c.Key]
	return h != nil && h.Phase == Released && h.Failure.Of(c)
}

// Held returns the hold of an aggregate, nil without one.
func (s *Schedule) Held(key msg.Key) *Hold { return s.held[key] }

// Waiting counts the aggregates that wait for another attempt.
func (s *Schedule) Waiting() int { return len(s.retries) }

// Failing counts the aggregates of which a change has failed and is tried again.
func (s *Schedule) Failing() int { return s.failing }

// Parked counts the aggregates that are parked.
func (s *Schedule) Parked() int { return s.parked }

// Parkings counts how often the set of parked aggregates has changed.
func (s *Schedule) Parkings() uint64 { return s.parkings }

// admits decides about a change of which the aggregate may be on hold.
func (s *Schedule) admits(c *stream.Change) bool {
	h := s.held[c.Key]
	switch {
	case h == nil || h.Phase == Released:
		return true
	case h.Phase == Parked && c.Unhandled != (stream.Versions{}):
		// Its log is void: the parking ends with this change.
		s.setPhase(h, Released)
		return true
	}
	// The change was pulled before the subscription was told of the hold: it comes again.
	h.pulled(c.Cursor)
	return false
}

// pulled notes how far the aggregate was pulled.
func (h *Hold) pulled(c checkpoint.Cursor) {
	if c.Compare(h.last) > 0 {
		h.last = c
	}
}

// hold stops an aggregate. Its waiting changes are dropped.
func (s *Schedule) hold(c *stream.Change, phase Phase, f Failure) *Hold {
	h := s.held[c.Key]
	if h == nil {
		h = &Hold{Key: c.Key, index: -1}
		s.held[c.Key] = h
	}
	h.Owner, h.Partition, h.Failure, h.forget = c.Owner, c.Partition, f, false
	h.generation = s.saves.generation
	h.pulled(c.Cursor)
	if a := s.aggregates[c.Key]; a != nil {
		h.pulled(a.last)
		s.drop(a)
	}
	s.setPhase(h, phase)
	s.toHold = append(s.toHold, c.Key)
	return h
}

func (s *Schedule) setPhase(h *Hold, phase Phase) {
	s.count(h.Phase, -1)
	if h.index >= 0 {
		heap.Remove(&s.retries, h.index)
	}
	h.Phase = phase
	s.count(phase, 1)
}

func (s *Schedule) count(phase Phase, by int) {
	switch phase {
	case Parked:
		s.parked += by
		s.parkings++
	case Waiting, Releasing, Released:
		s.failing += by
	}
}

// unhold forgets a hold.
func (s *Schedule) unhold(h *Hold) {
	s.setPhase(h, 0)
	delete(s.held, h.Key)
}

// Retry has a change tried again at due, and its aggregate waits until then.
func (s *Schedule) Retry(c *stream.Change, f Failure, due time.Time) {
	if c.Kind == stream.CaughtUp {
		s.barriers[0].failure, s.barriers[0].due = f, due
		return
	}
	h := s.hold(c, Waiting, f)
	h.Due = due
	heap.Push(&s.retries, h)
}

// Park has an aggregate wait until it is stored that it is parked.
func (s *Schedule) Park(c *stream.Change, f Failure) {
	s.hold(c, Parking, f)
}

// Reread has an aggregate read again from its stored cursor, once all that was
// handled of it is stored.
func (s *Schedule) Reread(c *stream.Change) {
	if h := s.held[c.Key]; h != nil && h.Phase != Released {
		return // it is read again when that ends
	}
	s.hold(c, Spilled, Failure{}).handled = c.Cursor
	s.drained(c.Key)
}

// Stored notes that an aggregate is stored up to a cursor, without its changes having
// been handled here: none of them comes again when it is read again.
func (s *Schedule) Stored(key msg.Key, cursor checkpoint.Cursor) { s.reached(key, cursor) }

// ParkingStored says that a parking was stored.
func (s *Schedule) ParkingStored(key msg.Key) {
	if h := s.held[key]; h != nil && h.Phase == Parking {
		h.Failure.Recorded, h.Failure.Parked = true, true
		s.setPhase(h, Parked)
		s.pass(key)
	}
}

// ParkingRefused has an aggregate that cannot be parked wait for another attempt.
func (s *Schedule) ParkingRefused(key msg.Key, due time.Time) {
	if h := s.held[key]; h != nil && h.Phase == Parking {
		s.setPhase(h, Waiting)
		h.Due = due
		heap.Push(&s.retries, h)
	}
}

// Restore takes what an earlier owner stored of an aggregate: that it is parked, or
// how often a change failed.
func (s *Schedule) Restore(key msg.Key, f Failure, parked bool) {
	if h := s.held[key]; h != nil {
		if parked && h.Phase == Paused {
			h.Failure, h.forget = f, false
			s.setPhase(h, Parked)
		}
		return
	}
	h := &Hold{Key: key, Failure: f, index: -1}
	s.held[key] = h
	if !parked {
		s.setPhase(h, Released)
		return
	}
	if a := s.aggregates[key]; a != nil {
		s.drop(a)
		h.generation = s.saves.generation
	}
	s.pass(key)
	s.setPhase(h, Parked)
	s.toHold = append(s.toHold, key)
}

// Reconcile compares what is parked here with what is stored: others may have
// parked, released or skipped aggregates while they owned them. parked has the stored
// ones; earlier, if not nil, restricts what may be released here to those that were
// parked before parked was read.
func (s *Schedule) Reconcile(parked map[msg.Key]Failure, earlier map[msg.Key]bool) {
	for key, f := range parked {
		if h := s.held[key]; h != nil && h.Phase == Parked {
			s.toHold = append(s.toHold, key) // the consumer forgets with the partition
			continue
		}
		s.Restore(key, f, true)
	}
	for key, h := range s.held {
		if _, stored := parked[key]; !stored && h.Phase == Parked && (earlier == nil || earlier[key]) {
			h.forget = true
			s.release(h)
		}
	}
}

// ParkedKeys returns the aggregates that are parked.
func (s *Schedule) ParkedKeys() map[msg.Key]bool {
	keys := make(map[msg.Key]bool, s.parked)
	for key, h := range s.held {
		if h.Phase == Parked {
			keys[key] = true
		}
	}
	return keys
}

// Release ends a parking: the aggregate is read again from where it was frozen, and
// attempts are counted from nothing. With keep the failure, and that it is parked,
// is known until the change that failed was handled.
func (s *Schedule) Release(key msg.Key, keep bool) {
	h := s.held[key]
	if h == nil || h.Phase != Parked {
		return
	}
	h.forget = !keep
	s.release(h)
}

// release has the consumer told to read an aggregate again, unless it is paused.
func (s *Schedule) release(h *Hold) {
	if s.isPaused(h.Key) {
		s.setPhase(h, Paused)
		return
	}
	s.setPhase(h, Releasing)
	s.toRelease = append(s.toRelease, h.Key)
}

// Ended reports what a handled change ends: the failure of its aggregate.
func (s *Schedule) ended(c *stream.Change) (f Failure, ended bool) {
	if len(s.held) == 0 {
		return Failure{}, false
	}
	h := s.held[c.Key]
	if h != nil && h.Phase == Paused && h.Failure.Of(c) {
		f, h.Failure, h.forget = h.Failure, Failure{}, true // it was being handled when the pause began
		return f, true
	}
	if h == nil || h.Phase != Released {
		return Failure{}, false
	}
	s.unhold(h)
	return h.Failure, true
}

// Handled notes that a change was handled and returns the failure that ends with
// that, if there was one. With save its cursor is to be stored; otherwise it was.
func (s *Schedule) Handled(now time.Time, c *stream.Change, save bool) (f Failure, ended bool) {
	switch c.Kind {
	case stream.CaughtUp:
		f, ended = s.barriers[0].failure, s.barriers[0].failure.Attempts > 0
		s.barriers = s.barriers[1:]
		return f, ended
	case stream.Unreadable:
	default:
		if save {
			s.saves.add(now, c)
		}
		s.reached(c.Key, c.Cursor)
		if h := s.held[c.Key]; h != nil {
			h.handled = c.Cursor
		}
	}
	return s.ended(c)
}

// Wake releases what has waited long enough, and returns when it should be asked
// again; zero if only something else can change that.
func (s *Schedule) Wake(now time.Time) (next time.Time) {
	for len(s.retries) > 0 && !s.retries[0].Due.After(now) {
		h := s.retries[0]
		if !s.saves.stored(h.generation) {
			// The aggregate would be read from an older cursor, and handled changes
			// would come again.
			s.saves.urgent = true
			break
		}
		s.release(h)
	}
	if len(s.retries) > 0 && s.retries[0].Due.After(now) {
		next = s.retries[0].Due
	}
	if len(s.barriers) > 0 && !s.barriers[0].due.IsZero() {
		if due := s.barriers[0].due; due.After(now) {
			if next.IsZero() || due.Before(next) {
				next = due
			}
		} else {
			s.barriers[0].due = time.Time{}
		}
	}
	return next
}

// HasOrders reports whether the consumer is to be told something.
func (s *Schedule) HasOrders() bool {
	if len(s.toHold)+len(s.toRelease) > 0 {
		return true
	}
	for key := range s.drainedKeys {
		if h := s.held[key]; h != nil && h.Phase == Spilled && s.saves.stored(h.generation) {
			return true
		}
	}
	return false
}

// Orders returns what the consumer is to be told before another slice is pulled:
// first the aggregates to hold, then those to release.
func (s *Schedule) Orders() (hold, release []msg.Key) {
	for key := range s.spills() {
		h := s.held[key]
		h.forget = true
		s.release(h)
	}
	for _, key := range s.toRelease {
		h := s.held[key]
		switch {
		case h == nil || h.Phase != Releasing: // it was lost
		case h.forget:
			release = append(release, key)
			s.unhold(h)
		default:
			release = append(release, key)
			s.setPhase(h, Released)
		}
	}
	hold = s.toHold
	s.toHold, s.toRelease = nil, nil
	return hold, release
}
