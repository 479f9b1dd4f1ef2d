package engine_test

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// sim runs the engine against a simulated node, network, store and consumer in
// virtual time. All of it follows from the settings.
type sim struct {
	set   settings
	rng   *rand.Rand
	now   time.Time
	queue timetable
	steps int
	// calm ends the faults, so that everything can come to rest.
	calm    bool
	failure string
	log     *strings.Builder // nil: not kept
	seen    coverage

	keys      []msg.Key // of the scope, then strangers
	members   map[msg.Key]bool
	truth     *truth
	history   [][]record // groups, as they were committed
	committed time.Time  // the last one
	// waits tells that the engine reads nothing until the consumer commits, released
	// when it went on.
	waits    bool
	released time.Time
	nodes    []*member
	leader   *member
	known    known

	// run counts the processes: what belongs to an earlier one is ignored.
	run      int
	eng      *engine.Engine
	links    map[attempt]*watcher // acknowledged
	closed   map[attempt]bool     // before they were
	open     []*watcher
	reading  map[uint64]msg.Key
	dropped  map[uint64]bool // of reads, those of which nobody wants the answer
	looking  map[uint64]look // by shard
	readAt   time.Time       // when the last read was issued
	listing  map[uint64]uint64
	consumer consumer
	oracle   *oracle
	held     map[msg.Key]bool
	owned    []uint32
}

// event is something due at a time.
type event struct {
	at    time.Time
	order int
	do    func()
}

type timetable struct {
	events []event
	order  int
}

func (q *timetable) Len() int { return len(q.events) }
func (q *timetable) Less(i, j int) bool {
	a, b := &q.events[i], &q.events[j]
	if a.at.Equal(b.at) {
		return a.order < b.order
	}
	return a.at.Before(b.at)
}
func (q *timetable) Swap(i, j int) { q.events[i], q.events[j] = q.events[j], q.events[i] }
func (q *timetable) Push(x any)    { q.events = append(q.events, x.(event)) }
func (q *timetable) Pop() any {
	last := q.events[len(q.events)-1]
	q.events = q.events[:len(q.events)-1]
	return last
}

// stepping is a backoff without jitter.
type stepping struct{ next time.Duration }

func (b *stepping) NextBackOff() time.Duration {
	b.next = min(max(2*b.next, 50*time.Millisecond), 5*time.Second)
	return b.next
}
func (b *stepping) Reset() { b.next = 0 }

var errNode = errors.New("simulated failure")

func newSim(set settings, log *strings.Builder) *sim {
	s := &sim{
		set: set, log: log, seen: make(coverage), now: time.Unix(1_700_000_000, 0),
		rng: rand.New(rand.NewPCG(set.Seed, 2)), members: make(map[msg.Key]bool),
		held: make(map[msg.Key]bool),
	}
	for i := range set.Keys + set.Strangers {
		key := keyNumber(i)
		s.keys = append(s.keys, key)
		s.members[key] = i < set.Keys
	}
	s.truth = newTruth(func() time.Time { return s.now })
	s.buildNodes()
	s.oracle = newOracle(s)
	s.consumer.store = make(map[msg.Key]checkpoint.Cursor)
	s.owned = s.partitions()
	return s
}

func keyNumber(i int) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(uint64(i))}
}

func numberOf(key msg.Key) int {
	_, n := key.Aggregate.Uint64s()
	return int(n)
}

func (s *sim) newNode() *node {
	return &node{
		rng: s.rng, shardOf: s.shardOf, responses: s.set.Responses, accepts: s.set.Accepts, pageSize: s.set.PageSize,
		segment: s.set.Segment, aggregates: make(map[msg.Key]*aggregate), segments: make([][][]record, s.set.Shards),
		quirks: s.set.Quirks, seen: s.seen,
	}
}

func (s *sim) shardOf(key msg.Key) uint64 { return uint64(numberOf(key) % s.set.Shards) }

func (s *sim) linkOf(key msg.Key) engine.Link {
	return engine.Link{Shard: s.shardOf(key), Part: numberOf(key) / s.set.Shards % s.set.Parts}
}

func (s *sim) after(d time.Duration, do func()) { s.at(s.now.Add(d), do) }

func (s *sim) at(t time.Time, do func()) {
	s.queue.order++
	heap.Push(&s.queue, event{at: t, order: s.queue.order, do: do})
}

// within is a random time, usually short.
func (s *sim) within(d time.Duration) time.Duration {
	if s.rng.IntN(4) > 0 {
		d /= 10
	}
	return time.Duration(s.rng.Int64N(int64(d) + 1))
}

// chance is true in some percent of cases, as long as there are faults.
func (s *sim) chance(percent int) bool {
	return !s.calm && percent > 0 && s.rng.IntN(100) < percent
}

func (s *sim) failf(format string, args ...any) {
	if s.failure == "" {
		s.failure = fmt.Sprintf(format, args...)
		s.note("FAILED %s", s.failure)
	}
}

func (s *sim) note(format string, args ...any) {
	if s.log != nil {
		fmt.Fprintf(s.log, "%10.3f ", s.now.Sub(time.Unix(1_700_000_000, 0)).Seconds())
		fmt.Fprintf(s.log, format, args...)
		s.log.WriteByte('\n')
	}
}

// boot starts a process: an engine that continues from the store.
func (s *sim) boot() {
	s.run++
	s.waits = false
	s.links, s.closed = make(map[attempt]*watcher), make(map[attempt]bool)
	s.looking = make(map[uint64]look)
	s.reading, s.dropped = make(map[uint64]msg.Key), make(map[uint64]bool)
	s.listing = make(map[uint64]uint64)
	s.consumer.crash()
	s.oracle.crash()
	var explicit []msg.Key
	if s.set.Explicit {
		explicit = s.keys[:s.set.Keys]
	}
	s.eng = engine.New(s.partitioned(engine.Options{
		Contains: func(key msg.Key) bool { return s.members[key] }, Explicit: explicit, Parts: s.set.Parts,
		Readers: s.set.Readers, Buffer: s.set.Buffer, MaxLanes: s.set.MaxLanes, Liveness: 15 * time.Second,
		Healthy: 10 * time.Second, Reconcile: s.set.Reconcile, ContinueOnly: s.set.ContinueOnly,
		MaxUncommitted: int(s.set.Seed % 5), Probe: s.set.Probe, Followers: s.set.Followers, MaxLag: s.set.MaxLag, Recent: s.set.Recent,
		Late: 3 * time.Second, NewBackoff: func() engine.Backoff { return new(stepping) },
	}))
	s.note("boot %d", s.run)
	s.input(func() { s.eng.Start(s.now) })
	s.resume()
	s.consume(s.run)
}

// input feeds the engine and carries out what it asks for.
func (s *sim) input(feed func()) {
	feed()
	commands := s.eng.Commands()
	for i := range commands {
		s.execute(&commands[i])
	}
	s.eng.Recycle(commands)
	if missed := s.eng.Missed(s.now); missed != "" {
		s.failf("%s", missed)
	}
	if s.eng.Overflowed() {
		s.seen["overflow"]++
	}
	s.rest()
}

// rest checks that what is held of aggregates at rest is what is stored.
func (s *sim) rest() {
	for _, key := range s.keys {
		if held := s.eng.Resting(key); !held.IsZero() {
			s.seen["held at rest"]++
			if held != s.consumer.store[key] {
				s.failf("%v is held of %d, and %v stored", held, numberOf(key), s.consumer.store[key])
			}
		}
	}
}

// later feeds the engine after a time, unless the process has ended by then.
func (s *sim) later(d time.Duration, feed func()) {
	run := s.run
	s.after(d, func() {
		if run == s.run {
			s.input(feed)
		}
	})
}

// step makes the next thing happen; false when that lies beyond until.
func (s *sim) step(until time.Time) bool {
	wake, waiting := s.eng.NextWake(s.now)
	if waiting && wake.Before(s.now) {
		wake = s.now
	}
	if len(s.queue.events) > 0 && (!waiting || s.queue.events[0].at.Before(wake)) {
		if s.queue.events[0].at.After(until) {
			return false
		}
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	} else {
		if !waiting || wake.After(until) {
			return false
		}
		if s.now.Equal(wake) && s.now.Equal(s.oracle.ticked) {
			if s.oracle.ticks++; s.oracle.ticks > 100 {
				s.failf("the engine wants to be woken again and again at %v", wake)
			}
		} else {
			s.oracle.ticks = 0
		}
		s.now, s.oracle.ticked = wake, wake
		s.input(func() { s.eng.Tick(s.now) })
	}
	if s.steps++; s.steps > 500_000 {
		s.failf("no end after %d steps", s.steps)
	}
	return s.failure == ""
}

// simulate runs to the end and returns what is wrong, "" if nothing.
func simulate(set settings, log *strings.Builder) (failure string, seen coverage) {
	s := newSim(set, log)
	s.boot()
	s.writer(s.set.Steps)
	for !s.calm && s.step(s.now.Add(time.Hour)) {
	}
	s.timely()
	s.settle()
	for _, shard := range s.oracle.wronglyParked() {
		// A node that stayed silent by accident has parked an aggregate; the next
		// reconcile tries again.
		s.cutShard(shard)
		s.settle()
	}
	if s.failure == "" {
		s.oracle.final()
	}
	return s.failure, s.seen
}

// timely checks that all is delivered soon after the last commit, whatever a
// frozen node does not show, where nothing else is broken, lists are short and
// several batches fit a page.
func (s *sim) timely() {
	if s.set.Nodes == 1 || s.set.Faults > 0 || s.set.Segment < 100_000 || s.set.MaxLanes < 1000 || s.set.Oversize > 0 || s.set.Buffer < 16<<10 || s.set.Accepts < s.set.Responses || 4*int64(s.set.BatchBytes) > s.set.Responses {
		return
	}
	s.seen["timeliness checked"]++
	for s.step(s.unhindered().Add(s.set.Probe + s.set.MaxLag + soon)) {
	}
	for _, key := range s.keys {
		v := s.oracle.run[key]
		if s.follows(key) && !v.doubtful {
			if problem := s.oracle.wrong(key, &v); problem != "" {
				s.failf("long after the last commit, of %d: %s (G10)", numberOf(key), problem)
			}
		}
	}
}

// unhindered is when the last batch was committed, or when the consumer last held the engine
// up if that is later.
func (s *sim) unhindered() time.Time {
	switch {
	case s.waits:
		return s.now
	case s.released.After(s.committed):
		return s.released
	}
	return s.committed
}

// soon is what requests, their answers, doubts and waits between attempts may add.
const soon = 15 * time.Second

// settle lets everything come to rest without faults: a while passes, and then
// nothing is read any more but what a periodic reconcile asks for.
func (s *sim) settle() {
	for end := s.now.Add(90 * time.Second); s.step(end); {
	}
	for end := s.now.Add(20 * time.Minute); s.failure == "" && !s.resting(); {
		if !s.step(end) {
			s.failf("no rest: %d reads under way, the last one began %v ago", len(s.reading), s.now.Sub(s.readAt))
		}
	}
}

// reconciling reports whether a list under way or to come may show something; periodic ones
// come for ever.
func (s *sim) reconciling() bool {
	return s.eng.Overflowed() || s.set.Reconcile == 0 && s.eng.Reconciling()
}

func (s *sim) resting() bool {
	quiet := s.set.Reconcile > 0 || s.set.Followers || s.now.Sub(s.readAt) > 30*time.Second
	return quiet && s.oracle.phase == engine.Live && len(s.reading) == 0 && !s.reconciling() && s.eng.Stats(s.now).Dirty == 0 && s.eng.Stats(s.now).Buffered == 0 &&
		len(s.consumer.pending) == 0 && s.consumer.saving == 0
}
