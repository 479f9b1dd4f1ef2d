package lease

import (
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// The simulation runs several processes against one store in virtual time, from one
// seed: a store that is slow, refuses, or answers nothing although it did the work;
// processes that are killed, paused, cut off, and whose clocks are minutes apart.

type simEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(e any)   { *q = append(*q, e.(simEvent)) }
func (q *simQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

type sim struct {
	t     testing.TB
	rng   *rand.Rand
	now   time.Duration
	seq   int
	queue simQueue
	def   Definition
	store *simStore
	procs []*simProc
	born  int
	// unkind is how often a request goes wrong, of 100.
	unkind  int
	slowest time.Duration
	// events are losses and gains, for the search for flapping.
	events int
	trace  []string
	// ownerless is since when nobody alive has owned a partition.
	ownerless map[uint32]time.Duration
	worst     time.Duration
	alone     bool
	deleted   bool
	unwatched bool
	jumpedAt  time.Duration // when the store's clock jumped among other faults
	parsed    map[string]Partition
}

type simStore struct {
	s          *sim
	records    map[string]map[string][]byte // by name and key
	offset     time.Duration                // of its clock
	statements int
	owners     checkpoint.Ownership
	// locked is the record that a transaction of a process that was stopped holds.
	locked string
}

type simProc struct {
	s       *sim
	p       *Process
	id      string
	offset  time.Duration // of the wall clock
	dead    bool
	paused  bool
	backlog []func()
	cut     bool
	owned   map[string]map[uint32]checkpoint.Owner // by member
	left    map[string]bool
	ended   map[string]error
	wakeSeq int
	drain   time.Duration
}

const simName = "orders"

func newSim(t testing.TB, seed uint64, shards uint64, wanted uint32) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 1)), slowest: 20 * time.Millisecond, ownerless: map[uint32]time.Duration{}, parsed: map[string]Partition{}}
	def, err := Define(Rule{Known: true, Shards: shards}, wanted, ByAggregate, "s", "")
	if err != nil {
		t.Fatal(err)
	}
	s.def = def
	s.store = &simStore{s: s, records: map[string]map[string][]byte{"": {}, simName: {definitionKey: def.Encode()}}}
	s.store.owners = checkpoint.Ownership{Epoch: 1, Claimed: true, Scope: def.ScopeText()}
	return s
}

func (s *sim) logf(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%10v ", s.now.Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (s *sim) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%v: %s\n%s", s.now, fmt.Sprintf(format, args...), strings.Join(s.trace[max(0, len(s.trace)-60):], "\n"))
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.queue, simEvent{s.now + d, s.seq, do})
}

// run lets virtual time pass.
func (s *sim) run(d time.Duration) {
	end := s.now + d
	for {
		if len(s.queue) == 0 || s.queue[0].at > end {
			break
		}
		e := heap.Pop(&s.queue).(simEvent)
		s.now = e.at
		e.do()
		s.check()
	}
	s.now = end
	s.check()
}

func (s *sim) start(label string) *simProc {
	s.born++
	id := fmt.Sprintf("process-%02d", s.born)
	p := &simProc{s: s, id: id, offset: time.Duration(s.rng.IntN(600)-300) * time.Second,
		owned: map[string]map[uint32]checkpoint.Owner{}, left: map[string]bool{}, ended: map[string]error{}}
	p.p = New(Options{ID: id, Alone: s.alone, Token: func() (t checkpoint.Token) {
		for i := range t {
			t[i] = byte(s.rng.Uint32())
		}
		return t
	}})
	s.procs = append(s.procs, p)
	p.join(id+"/1", label, simName)
	return p
}

func (p *simProc) join(id, label, name string) {
	p.owned[id] = map[uint32]checkpoint.Owner{}
	p.input(func(now Instant) {
		p.p.Join(now, Membership{ID: id, Label: label, Name: name, Definition: p.s.def, Want: p.s.def})
	})
}

func (p *simProc) instant() Instant {
	return Instant{Mono: p.s.now, Wall: time.Unix(1e9, 0).Add(p.s.now + p.offset)}
}

// input feeds the machine and carries out what follows.
func (p *simProc) input(in func(now Instant)) {
	switch {
	case p.dead:
		return
	case p.paused:
		p.backlog = append(p.backlog, func() { p.input(in) })
		return
	}
	in(p.instant())
	for _, c := range p.p.Commands() {
		p.execute(c)
	}
	p.wakeSeq++
	seq := p.wakeSeq
	if at, ok := p.p.Wake(p.instant()); ok {
		p.s.after(max(at-p.s.now, 0), func() {
			if p.wakeSeq == seq {
				p.input(p.p.Tick)
			}
		})
	}
}

func (p *simProc) execute(c Command) {
	s := p.s
	switch c.Kind {
	case Exchange:
		p.request(func() ([]checkpoint.Record, error) {
			if c.Value != nil {
				s.store.records[""][c.Key] = c.Value
			}
			return s.store.read("", ""), nil
		}, func(now Instant, r []checkpoint.Record, store time.Time, err error) {
			p.p.Exchanged(now, c.ID, r, store, err)
		})
	case Remove:
		p.request(func() ([]checkpoint.Record, error) {
			if v := s.store.records[""][c.Key]; v != nil && (c.Revision == 0 || checkpoint.RevisionOf(v) == c.Revision) {
				delete(s.store.records[""], c.Key)
			}
			return nil, nil
		}, func(now Instant, _ []checkpoint.Record, _ time.Time, err error) { p.p.Removed(now, c.ID, err) })
	case Read:
		p.request(func() ([]checkpoint.Record, error) { return s.store.read(c.Name, ""), nil },
			func(now Instant, r []checkpoint.Record, _ time.Time, err error) {
				owners := s.store.owners
				p.p.Found(now, c.ID, r, &owners, err)
			})
	case Apply:
		p.request(func() ([]checkpoint.Record, error) { return nil, s.store.apply(c.Name, c.Mutation) },
			func(now Instant, _ []checkpoint.Record, _ time.Time, err error) { p.p.Applied(now, c.ID, err) })
	case Gained:
		for _, g := range c.Gained {
			p.owned[c.Member][g.Partition] = g.Owner
			s.events++
		}
		s.logf("%s gained %v", p.id, len(c.Gained))
	case Revoke:
		for _, q := range c.Partitions {
			s.after(time.Duration(s.rng.Int64N(int64(p.drain+time.Millisecond))), func() {
				p.input(func(now Instant) {
					delete(p.owned[c.Member], q)
					s.events++
					p.p.Finished(now, c.Member, q)
				})
			})
		}
		s.logf("%s is to give up %v", p.id, c.Partitions)
	case Lost:
		for _, q := range c.Partitions {
			delete(p.owned[c.Member], q)
			s.events++
		}
		s.logf("%s lost %v, reason %d", p.id, c.Partitions, c.Reason)
	case Ended:
		p.ended[c.Member] = c.Err
		clear(p.owned[c.Member])
		s.logf("%s ended: %v", c.Member, c.Err)
	case Left:
		p.left[c.Member] = true
		s.logf("%s left", c.Member)
	}
}

var errSim = errors.New("store unavailable")

// request carries a request to the store and its answer back, or not.
func (p *simProc) request(work func() ([]checkpoint.Record, error), answer func(Instant, []checkpoint.Record, time.Time, error)) {
	s := p.s
	delay := func() time.Duration { return time.Duration(1 + s.rng.Int64N(int64(s.slowest))) }
	bad := func() bool { return p.cut || s.rng.IntN(100) < s.unkind }
	fail := func() {
		s.after(time.Second, func() { p.input(func(now Instant) { answer(now, nil, time.Time{}, errSim) }) })
	}
	if bad() {
		fail()
		return
	}
	s.after(delay(), func() {
		if p.dead {
			return // sent by nobody
		}
		s.store.statements++
		records, err := work()
		at := s.store.time()
		if bad() {
			fail() // done, and nobody is told
			return
		}
		s.after(delay(), func() { p.input(func(now Instant) { answer(now, records, at, err) }) })
	})
}

func (st *simStore) time() time.Time { return time.Unix(2e9, 0).Add(st.s.now + st.offset) }

func (st *simStore) read(name, prefix string) []checkpoint.Record {
	var records []checkpoint.Record
	for _, key := range slices.Sorted(maps.Keys(st.records[name])) {
		if v := st.records[name][key]; strings.HasPrefix(key, prefix) {
			records = append(records, checkpoint.Record{Key: key, Value: v, Revision: checkpoint.RevisionOf(v)})
		}
	}
	return records
}

func (st *simStore) apply(name string, m checkpoint.Mutation) error {
	if err := m.Check(name); err != nil {
		st.s.fatalf("mutation that no store takes: %v", err)
	}
	for _, c := range m.Records {
		if c.Key == st.locked {
			return errSim
		}
	}
	stored := checkpoint.Stored{Ownership: st.owners, Records: make([][]byte, len(m.Records))}
	for i, c := range m.Records {
		stored.Records[i] = st.records[name][c.Key]
	}
	out, err := m.Decide(name, stored)
	if err != nil {
		return err
	}
	for _, c := range out.Records {
		if c.Value == nil {
			delete(st.records[name], c.Key)
		} else {
			st.records[name][c.Key] = c.Value
		}
	}
	return nil
}

// believes reports whether the process acts as the owner at this moment.
func (p *simProc) believes() bool {
	if p.dead || p.paused {
		return false
	}
	d, ok := p.p.Deadline()
	return ok && p.s.now < d.Mono && p.instant().Wall.Before(d.Wall)
}

// check holds the oracles: one owner at a time, and none for long.
func (s *sim) check() {
	if s.deleted || s.unwatched {
		return
	}
	owner := map[uint32]string{}
	for _, p := range s.procs {
		if !p.believes() {
			continue
		}
		for member, owned := range p.owned {
			if member != p.id+"/1" {
				continue // of another subscription
			}
			for q, o := range owned {
				if p.ended[member] == nil {
					part := s.partition(q)
					current := part.Epoch == o.Epoch && part.Token == o.Token
					// A jump of the store's clock while heartbeats fail may let one take
					// over early from another that cannot know: its saves are refused.
					jumped := s.jumpedAt > 0 && s.now-s.jumpedAt < 2*DefaultTTL
					if (owner[q] != "" || !current) && !jumped {
						s.fatalf("%s acts as the owner of partition %d, and so does %s (%+v)", member, q, owner[q], part)
					}
					owner[q] = member
				}
			}
		}
	}
	for q := range s.def.Count() {
		if owner[q] != "" {
			delete(s.ownerless, q)
		} else if _, ok := s.ownerless[q]; !ok {
			s.ownerless[q] = s.now
		}
		if at, ok := s.ownerless[q]; ok {
			s.worst = max(s.worst, s.now-at)
		}
	}
}

// partition is the stored record of a partition.
func (s *sim) partition(q uint32) Partition {
	value := s.store.records[simName][checkpoint.PartitionKey(q)]
	part, ok := s.parsed[string(value)]
	if !ok {
		var err error
		if part, err = ParsePartition(checkpoint.Record{Value: value}); err != nil {
			s.fatalf("%v", err)
		}
		s.parsed[string(value)] = part
	}
	return part
}

// longest is for how long a partition has had no owner.
func (s *sim) longest() (partition uint32, since time.Duration) {
	for q, at := range s.ownerless {
		if s.now-at >= since {
			partition, since = q, s.now-at
		}
	}
	return partition, since
}

func (s *sim) alive() (alive []*simProc) {
	for _, p := range s.procs {
		if !p.dead && !p.paused && len(p.ended) == 0 && len(p.left) == 0 {
			alive = append(alive, p)
		}
	}
	return alive
}

// rest lets things settle and asserts that they do: shares are even, nothing moves
// any more, and the store is asked no more than is agreed.
func (s *sim) rest() {
	s.unkind, s.slowest = 0, 20*time.Millisecond
	for _, p := range s.procs {
		p.cut = false
		if p.paused && !p.dead {
			p.resume()
		}
	}
	s.run(2*DefaultTTL + 20*time.Second)
	events, statements := s.events, s.store.statements
	s.run(100 * time.Second)
	if s.events != events {
		s.fatalf("partitions still move: %d times", s.events-events)
	}
	alive := s.alive()
	if q, since := s.longest(); len(alive) > 0 && since > 0 {
		s.logf("record %+v", s.partition(q))
		for _, p := range alive {
			for _, m := range p.p.members {
				s.logf("%s holds %v, wants %v, asks %v, sees %+v, phase %+v op %d retry %v wake %v", m.ID, m.held(), m.want, m.asks, m.sights[q], m.holds[q], m.op, m.retryAt, m.wakeAt)
			}
		}
		s.fatalf("partition %d has had no owner for %v", q, since)
	}
	if rate := float64(s.store.statements-statements) / 100; rate > 0.2*float64(len(alive))+0.05 { // records of those killed are removed

		for _, p := range alive {
			for _, m := range p.p.members {
				s.logf("%s holds %v, wants %v, asks %v, urgent %v, inquires %v", m.ID, m.held(), m.want, m.asks, p.p.urgent(), p.p.inquire)
			}
		}
		s.fatalf("%.2f statements a second at rest of %d processes", rate, len(alive))
	}
	for _, p := range alive {
		n := 0
		for _, owned := range p.owned {
			n += len(owned)
		}
		if total := int(s.def.Count()); n < total/len(alive) || n > (total+len(alive)-1)/len(alive) {
			s.fatalf("%s has %d of %d partitions with %d processes", p.id, n, total, len(alive))
		}
	}
}

func (p *simProc) leave() {
	clear(p.owned[p.id+"/1"])
	p.input(func(now Instant) { p.p.Leave(now, p.id+"/1") })
}

func (p *simProc) kill() { p.dead = true; p.s.logf("%s killed", p.id) }

func (p *simProc) resume() {
	p.paused = false
	p.s.logf("%s resumed", p.id)
	p.input(p.p.Tick)
	backlog := p.backlog
	p.backlog = nil
	for _, do := range backlog {
		do()
	}
}
