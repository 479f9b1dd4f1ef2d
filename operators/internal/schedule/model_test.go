package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
	"pgregory.net/rapid"
)

func keyOf(n int) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(uint64(n))}
}

// model is a consumer around a schedule: logs that grow, deliveries that a hold
// stops and a release begins again at the stored cursor, a store, and workers.
type model struct {
	t *rapid.T
	s *schedule.Schedule
	d schedule.Demand

	now       time.Time
	log       map[int]uint64 // the head of each aggregate
	delivered map[int]uint64
	handled   map[int]uint64
	stored    map[int]uint64
	onHold    map[int]bool
	parked    map[int]bool
	paused    map[int]bool
	pausedAll bool
	tasks     []*schedule.Task
	running   map[int]bool
	saving    []schedule.Handled
	isSaving  bool
	// caught has, for each CaughtUp delivered and not handled, what was delivered
	// before it.
	caught  []map[int]uint64
	message bool // one is being handled
	// transit is a slice that was pulled and not added yet.
	transit []stream.Change
}

const partitions = 3

func newModel(t *rapid.T) *model {
	limits := schedule.Limits{Changes: rapid.IntRange(4, 20).Draw(t, "changes"), Bytes: 1 << 20, Waiting: 50}
	return &model{
		t: t, s: schedule.New(limits), now: time.Unix(1000, 0),
		d:   schedule.Demand{Changes: rapid.SampledFrom([]int{1, 1, 4}).Draw(t, "task"), Bytes: 1 << 20, Full: 4},
		log: map[int]uint64{}, delivered: map[int]uint64{}, handled: map[int]uint64{}, stored: map[int]uint64{},
		onHold: map[int]bool{}, parked: map[int]bool{}, running: map[int]bool{},
	}
}

func index(k msg.Key) int {
	_, n := k.Aggregate.Uint64s()
	return int(n)
}

// pull has the consumer deliver a slice, which is added by a later step, as the
// shell does: orders are carried out only while nothing is in transit.
func (m *model) pull() {
	if m.pausedAll && m.s.Room() {
		m.t.Fatal("room for what is paused")
	}
	if m.transit != nil || !m.s.Room() {
		return
	}
	m.orders()
	m.transit = []stream.Change{}
	for range rapid.IntRange(1, 8).Draw(m.t, "slice") {
		k := rapid.IntRange(0, 5).Draw(m.t, "key")
		if rapid.IntRange(0, 3).Draw(m.t, "grow") == 0 {
			m.log[k]++
		}
		if m.onHold[k] || m.delivered[k] >= m.log[k] {
			continue
		}
		m.deliver(k)
	}
	if rapid.IntRange(0, 5).Draw(m.t, "caught up") == 0 {
		m.caughtUp()
	}
}

func (m *model) deliver(k int) {
	m.delivered[k]++
	v := m.delivered[k]
	m.transit = append(m.transit, stream.Change{
		Kind: stream.Batch, Key: keyOf(k), Partition: uint32(k % partitions), Batch: msg.Batch{Version: v},
		Cursor: checkpoint.Cursor{Version: v}, Previous: checkpoint.Cursor{Version: v - 1},
	})
}

func (m *model) caughtUp() {
	before := map[int]uint64{}
	for k, v := range m.delivered {
		if !m.parked[k] && !m.paused[k] {
			before[k] = v
		}
	}
	m.caught = append(m.caught, before)
	m.transit = append(m.transit, stream.Change{Kind: stream.CaughtUp})
}

func (m *model) add() {
	if m.transit == nil {
		return
	}
	m.s.Add(m.now, m.transit)
	m.transit = nil
	// Of many CaughtUp that wait, the second is as good as the third.
	second := 1
	if m.message {
		second = 0
	}
	if len(m.caught)-second >= 8 {
		m.caught = append(m.caught[:second:second], m.caught[second+1:]...)
	}
}

func (m *model) orders() {
	hold, release := m.s.Orders()
	for _, k := range hold {
		m.onHold[index(k)] = true
	}
	for _, k := range release {
		n := index(k)
		if !m.onHold[n] {
			m.t.Fatalf("aggregate %d was released and not held", n)
		}
		m.onHold[n] = false
		m.delivered[n] = m.stored[n]
	}
}

func (m *model) take() {
	if len(m.tasks) >= 4 {
		return
	}
	task := new(schedule.Task)
	if !m.s.Take(m.now, m.d, task) {
		return
	}
	if m.pausedAll {
		m.t.Fatal("a task of what is paused")
	}
	keys := map[int]bool{}
	for i := range task.Changes {
		c := &task.Changes[i]
		if c.Kind == stream.CaughtUp {
			m.checkCaughtUp()
			continue
		}
		k := index(c.Key)
		if m.running[k] {
			m.t.Fatalf("two tasks with aggregate %d", k)
		}
		if m.parked[k] || m.paused[k] {
			m.t.Fatalf("aggregate %d is parked or paused and handled", k)
		}
		if c.Partition != task.Changes[0].Partition {
			m.t.Fatal("a task of two partitions")
		}
		keys[k] = true
	}
	for k := range 6 {
		if !keys[k] {
			continue
		}
		m.running[k] = true
	}
	m.tasks = append(m.tasks, task)
}

// checkCaughtUp holds the CaughtUp that is handled to what came before it.
func (m *model) checkCaughtUp() {
	before := m.caught[0]
	m.caught, m.message = m.caught[1:], true
	for k, v := range before {
		if m.handled[k] < v {
			m.t.Fatalf("CaughtUp before version %d of aggregate %d, handled %d", v, k, m.handled[k])
		}
	}
}

func (m *model) finish() {
	if len(m.tasks) == 0 {
		return
	}
	at := rapid.IntRange(0, len(m.tasks)-1).Draw(m.t, "task")
	task := m.tasks[at]
	m.tasks = append(m.tasks[:at], m.tasks[at+1:]...)
	failed := map[int]bool{}
	for i := range task.Changes {
		c := &task.Changes[i]
		if c.Kind == stream.CaughtUp {
			m.message = false
			m.s.Handled(m.now, c, true)
			continue
		}
		k := index(c.Key)
		delete(m.running, k)
		if failed[k] {
			continue
		}
		if c.Batch.Version != m.handled[k]+1 {
			m.t.Fatalf("version %d of aggregate %d after %d", c.Batch.Version, k, m.handled[k])
		}
		f := m.s.Failure(c)
		switch rapid.IntRange(0, 9).Draw(m.t, "outcome") {
		case 0, 1:
			failed[k] = true
			f.Attempts++
			m.s.Retry(c, f, m.now.Add(time.Duration(rapid.IntRange(1, 5).Draw(m.t, "pause"))*time.Second))
		case 2:
			failed[k] = true
			f.Attempts++
			m.parked[k] = true
			for _, before := range m.caught {
				delete(before, k) // a CaughtUp waits for nothing that was parked since
			}
			m.s.Park(c, f)
			m.s.ParkingStored(c.Key)
		case 3:
			m.handled[k]++
			m.s.Handled(m.now, c, true)
			m.s.Reread(c)
			failed[k] = true // what follows is read again
		default:
			m.handled[k]++
			m.s.Handled(m.now, c, true)
		}
	}
	m.s.Done(m.now, task)
}

func (m *model) save() {
	if !m.isSaving {
		m.saving, m.isSaving = m.s.TakeSave(nil), true
		return
	}
	for _, h := range m.saving {
		m.stored[index(h.Key)] = h.Cursor.Version
	}
	m.isSaving = false
	m.s.Saved()
}

func (m *model) release() {
	k := rapid.IntRange(0, 5).Draw(m.t, "key")
	if m.parked[k] {
		if m.stored[k] != m.handled[k] {
			return // the owner stores what was handled with the parking
		}
		m.parked[k] = false
		m.s.Release(keyOf(k), false)
	}
}

func (m *model) pause() {
	m.pausedAll = rapid.IntRange(0, 3).Draw(m.t, "all") == 0
	m.paused = map[int]bool{}
	keys := map[msg.Key]bool{}
	for range rapid.IntRange(0, 3).Draw(m.t, "paused") {
		k := rapid.IntRange(0, 5).Draw(m.t, "key")
		m.paused[k], keys[keyOf(k)] = true, true
		for _, before := range m.caught {
			delete(before, k) // a CaughtUp waits for nothing that is paused
		}
	}
	m.s.SetPaused(m.pausedAll, keys)
}

func (m *model) resume() {
	m.pausedAll, m.paused = false, nil
	m.s.SetPaused(false, nil)
}

func (m *model) tick() {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 3).Draw(m.t, "seconds")) * time.Second)
	m.s.Wake(m.now)
}

// In every run each aggregate is handled in order without a gap, one task at a
// time, nothing that is parked or paused is handled, CaughtUp waits for what came before it,
// and in the end everything that is not parked was handled.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(10, 200).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"pull", "add", "take", "finish", "save", "release", "tick", "pause", "resume"}).Draw(t, "step") {
			case "pull":
				m.pull()
			case "add":
				m.add()
			case "take":
				m.take()
			case "finish":
				m.finish()
			case "save":
				m.save()
			case "release":
				m.release()
			case "tick":
				m.tick()
			case "pause":
				m.pause()
			case "resume":
				m.resume()
			}
		}
		m.resume()
		m.drain()
	})
}

// drain lets everything succeed until nothing is left.
func (m *model) drain() {
	for i := 0; ; i++ {
		if i == 10_000 {
			m.t.Fatalf("it does not come to rest: %s", m.describe())
		}
		m.now = m.now.Add(time.Second)
		m.s.Wake(m.now)
		m.add()
		m.orders()
		m.pullAll()
		m.add()
		task := new(schedule.Task)
		for m.s.Take(m.now, m.d, task) {
			for i := range task.Changes {
				c := &task.Changes[i]
				if c.Kind == stream.CaughtUp {
					m.checkCaughtUp()
					m.message = false
				} else if k := index(c.Key); c.Batch.Version != m.handled[k]+1 {
					m.t.Fatalf("version %d of aggregate %d after %d", c.Batch.Version, k, m.handled[k])
				} else {
					m.handled[k]++
				}
				m.s.Handled(m.now, c, true)
			}
			m.s.Done(m.now, task)
		}
		for len(m.tasks) > 0 {
			m.finish()
		}
		m.save()
		for k := range 6 {
			if m.parked[k] && m.stored[k] == m.handled[k] {
				m.parked[k] = false
				m.s.Release(keyOf(k), false)
			}
		}
		if m.done() {
			return
		}
	}
}

func (m *model) pullAll() {
	if m.pausedAll && m.s.Room() {
		m.t.Fatal("room for what is paused")
	}
	if m.transit != nil || !m.s.Room() {
		return
	}
	m.transit = []stream.Change{}
	for k := range 6 {
		for !m.onHold[k] && m.delivered[k] < m.log[k] {
			m.deliver(k)
		}
	}
}

func (m *model) done() bool {
	for k, head := range m.log {
		if m.handled[k] != head || m.stored[k] != head {
			return false
		}
	}
	return len(m.caught) == 0 && m.s.Idle() && m.s.Failing() == 0 && m.s.Pulled() == 0
}

func (m *model) describe() string {
	return fmt.Sprintf("log %v handled %v stored %v delivered %v held %v parked %v, %d CaughtUp, idle %v failing %d",
		m.log, m.handled, m.stored, m.delivered, m.onHold, m.parked, len(m.caught), m.s.Idle(), m.s.Failing())
}
