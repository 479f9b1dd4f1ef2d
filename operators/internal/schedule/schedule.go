package schedule

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Limits bound what a Schedule holds.
type Limits struct {
	// Changes and Bytes bound what is pulled and not handled yet: nothing more is
	// to be pulled beyond either. A slice that was pulled is always taken whole.
	Changes, Bytes int
	// Waiting bounds the aggregates that wait for another attempt: nothing is to
	// be pulled beyond it.
	Waiting int
}

// Schedule is the state of one consumer. The zero value is not usable, see New.
type Schedule struct {
	limits Limits

	aggregates map[msg.Key]*aggregate
	free       []*aggregate
	lanes      map[uint32]*lane
	ring       []*lane // lanes with ready aggregates, in turn
	pulled     int     // changes that wait or are being handled
	bytes      int     // their payload
	running    int     // tasks
	opened     time.Time

	barriers []*barrier
	message  bool // the first barrier's CaughtUp is being handled

	held    map[msg.Key]*Hold
	retries retries
	// parked counts the holds of that phase, failing those that wait for another
	// attempt or are at it.
	parked, failing int
	// parkings counts how often the set of parked aggregates has changed.
	parkings uint64
	// toHold and toRelease are to be told to the consumer, in this order.
	toHold, toRelease []msg.Key
	// drainedKeys are spilled aggregates of which nothing is left here.
	drainedKeys map[msg.Key]struct{}

	// pausedAll and paused are what nothing may be handled of.
	pausedAll bool
	paused    map[msg.Key]bool

	saves saves
}

// aggregate is one with changes that wait or are being handled. An aggregate is
// in its lane's queue exactly if it has changes and is not running.
type aggregate struct {
	key     msg.Key
	lane    *lane
	queue   []stream.Change
	head    int
	last    checkpoint.Cursor // the last one pulled, zero if it moves none
	running bool
	// lost: its partition left while it was running; the outcome concerns nobody.
	lost bool
}

func (a *aggregate) waiting() []stream.Change { return a.queue[a.head:] }

// lane is the queue of the ready aggregates of one partition.
type lane struct {
	partition uint32
	ready     []*aggregate
	head      int
	inRing    bool
}

// New returns an empty schedule.
func New(limits Limits) *Schedule {
	return &Schedule{
		limits:     limits,
		aggregates: make(map[msg.Key]*aggregate),
		lanes:      make(map[uint32]*lane),
		held:       make(map[msg.Key]*Hold),
	}
}

// Room reports whether another slice may be pulled.
func (s *Schedule) Room() bool {
	return !s.pausedAll && s.pulled < s.limits.Changes && s.bytes < s.limits.Bytes && len(s.retries) < s.limits.Waiting
}

// Pulled counts the changes that wait or are being handled.
func (s *Schedule) Pulled() int { return s.pulled }

// Idle reports whether no change waits or is being handled. Aggregates may be on
// hold all the same.
func (s *Schedule) Idle() bool { return s.pulled == 0 && s.running == 0 }

// Add takes a slice that was pulled. Gained and Lost are not for it.
func (s *Schedule) Add(now time.Time, changes []stream.Change) {
	if s.pulled == 0 {
		s.opened = now
	}
	for i := range changes {
		if changes[i].Kind == stream.CaughtUp {
			s.addBarrier(&changes[i])
			continue
		}
		s.add(&changes[i])
	}
	if s.pausedAll {
		s.pausePulled() // it was on its way when the pause began
	}
	s.spill()
}

func (s *Schedule) add(c *stream.Change) {
	if len(s.held) > 0 && !s.admits(c) {
		return
	}
	a := s.aggregates[c.Key]
	if a == nil {
		a = s.enter(c)
	}
	if !a.running && len(a.waiting()) == 0 {
		s.queue(a)
	}
	a.queue, a.last = append(a.queue, *c), c.Cursor
	s.pulled++
	s.bytes += size(c)
}

// enter makes room for an aggregate.
func (s *Schedule) enter(c *stream.Change) *aggregate {
	var a *aggregate
	if n := len(s.free); n > 0 {
		a, s.free = s.free[n-1], s.free[:n-1]
	} else {
		a = new(aggregate)
	}
	l := s.lanes[c.Partition]
	if l == nil {
		l = &lane{partition: c.Partition}
		s.lanes[c.Partition] = l
	}
	a.key, a.lane = c.Key, l
	s.aggregates[c.Key] = a
	return a
}

// leave forgets an aggregate without changes.
func (s *Schedule) leave(a *aggregate) {
	if s.aggregates[a.key] == a {
		delete(s.aggregates, a.key)
	}
	queue := a.queue
	if cap(queue) > maxKept {
		queue = nil
	}
	*a = aggregate{queue: queue[:0]}
	if len(s.free) < maxFree {
		s.free = append(s.free, a)
	}
}

const (
	// maxKept is the longest queue whose memory an aggregate at rest keeps, in
	// changes; maxFree bounds the aggregates that are kept for others.
	maxKept = 8
	maxFree = 1024
)

// queue puts a ready aggregate behind the others of its partition.
func (s *Schedule) queue(a *aggregate) {
	l := a.lane
	l.ready = append(l.ready, a)
	if !l.inRing {
		l.inRing = true
		s.ring = append(s.ring, l)
	}
}

// next takes the oldest ready aggregate of a lane.
func (l *lane) next() *aggregate {
	a := l.ready[l.head]
	l.ready[l.head] = nil
	l.head++
	if l.head == len(l.ready) {
		l.ready, l.head = l.ready[:0], 0
	} else if l.head > 64 && l.head > len(l.ready)/2 {
		n := copy(l.ready, l.ready[l.head:])
		clear(l.ready[n:])
		l.ready, l.head = l.ready[:n], 0
	}
	return a
}

func (l *lane) empty() bool { return l.head == len(l.ready) }

// drop takes an aggregate's waiting changes away. The changes are read again
// later, or concern nobody any more.
func (s *Schedule) drop(a *aggregate) {
	waiting := a.waiting()
	if len(waiting) > 0 && !a.running {
		s.unqueue(a)
	}
	for i := range waiting {
		s.pulled--
		s.bytes -= size(&waiting[i])
	}
	clear(a.queue)
	a.queue, a.head = a.queue[:0], 0
	if !a.running {
		s.leave(a)
	}
}

// unqueue takes an aggregate out of its lane's queue. Such calls are rare: the
// queue is searched.
func (s *Schedule) unqueue(a *aggregate) {
	l := a.lane
	for i := l.head; i < len(l.ready); i++ {
		if l.ready[i] == a {
			l.ready = append(l.ready[:i], l.ready[i+1:]...)
			break
		}
	}
}

// size is the payload of a change.
func size(c *stream.Change) (bytes int) {
	for i := range c.Batch.Events {
		bytes += len(c.Batch.Events[i].Value)
	}
	return bytes
}

// Lose drops everything of a partition: its claim is another's now.
func (s *Schedule) Lose(partition uint32) {
	for key, a := range s.aggregates {
		if a.lane.partition == partition {
			s.drop(a)
			s.pass(key)
			if a.running {
				// Later changes of the aggregate belong to the next claim.
				a.lost = true
				delete(s.aggregates, key)
			}
		}
	}
	for key, h := range s.held {
		// Of what an earlier owner has parked the partition is not known: it stays.
		if h.Partition == partition && h.Owner != (checkpoint.Owner{}) {
			s.unhold(h)
			s.pass(key)
		}
	}
	s.saves.lose(partition)
	if l := s.lanes[partition]; l != nil && l.empty() && !l.inRing {
		delete(s.lanes, partition)
	}
}
