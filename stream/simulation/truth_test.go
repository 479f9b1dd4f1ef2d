package simulation_test

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// truth is the true history, as the writers know it. Each aggregate has one
// writer, which does one thing at a time and does not rest until it knows that it
// is done; so what is issued is the order of what is committed.
type truth struct {
	mu      sync.Mutex
	facts   map[msg.Key]*fact
	entries []*entry // by the number their payloads begin with
	acked   int
	places  map[placeOf]*entry // of what was read
}

// fact is what is true of one aggregate.
type fact struct {
	key        msg.Key
	log        []*entry // of all lives
	life       int      // counts fresh recreations
	start      int      // where the present life begins in log
	deleted    bool     // the last thing issued is a delete
	gone       bool     // deleted for good
	continuing bool     // the last delete lets the next write go on counting
	floor      int      // position of the first batch that trims left in this life
	floors     map[uint64]bool
	peak       uint64    // the highest version trimmed to in this life
	turn       time.Time // when the last delete, or the write after it, was known to be done; zero while it is not
	reborn     *entry    // the write after the last delete
	removals   []removal
	oversize   bool // some batch is
}

// removal is a delete.
type removal struct {
	pos    int // of the batch before which it was issued
	issued time.Time
}

// entry is one batch.
type entry struct {
	key    msg.Key
	events []msg.Event
	life   int
	pos    int // in the log of its aggregate
	// oversize: no answer can hold it.
	oversize bool
	// version and anchor are set once some answer or delivery told them.
	version uint64
	anchor  checkpoint.Anchor
	acked   time.Time // zero until the writer knows
}

func newTruth() *truth {
	return &truth{facts: make(map[msg.Key]*fact), places: make(map[placeOf]*entry)}
}

func (t *truth) factOf(key msg.Key) *fact {
	f := t.facts[key]
	if f == nil {
		f = &fact{key: key, floors: make(map[uint64]bool)}
		t.facts[key] = f
	}
	return f
}

// issue notes a batch that is about to be written and gives its events their
// numbers.
func (t *truth) issue(key msg.Key, events []msg.Event, oversize bool) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.factOf(key)
	reborn := f.deleted
	if reborn {
		f.deleted, f.turn = false, time.Time{}
		if !f.continuing {
			f.life++
			f.start, f.floor, f.peak = len(f.log), len(f.log), 0
		}
	}
	e := &entry{key: key, events: events, life: f.life, pos: len(f.log), oversize: oversize}
	f.oversize = f.oversize || oversize
	binary.LittleEndian.PutUint64(events[0].Value, uint64(len(t.entries)))
	seq := uint64(e.pos)*8 + 1
	for i := range events {
		events[i].ClientSeq = seq + uint64(i)
	}
	f.log = append(f.log, e)
	if reborn {
		f.reborn = e
	}
	t.entries = append(t.entries, e)
	return e
}

// done notes that a batch is known to be committed, with its version if the
// answer told it.
func (t *truth) done(e *entry, version uint64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acked++
	e.acked = time.Now()
	if f := t.facts[e.key]; f.reborn == e {
		f.turn = e.acked
	}
	switch {
	case version == 0:
	case e.version == 0:
		e.version = version
	case e.version != version:
		return "a batch was delivered with another version than its writer was told"
	}
	return ""
}

// entryOf finds a batch by its payload, nil if nobody wrote it.
func (t *truth) entryOf(b *msg.Batch) *entry {
	if len(b.Events) == 0 || len(b.Events[0].Value) < 8 {
		return nil
	}
	n := binary.LittleEndian.Uint64(b.Events[0].Value)
	if n >= uint64(len(t.entries)) {
		return nil
	}
	e := t.entries[n]
	same := slices.EqualFunc(e.events, b.Events, func(x, y msg.Event) bool {
		return x.ClientSeq == y.ClientSeq && x.Major == y.Major && slices.Equal(x.Value, y.Value)
	})
	if !same {
		return nil
	}
	return e
}

// trim notes a trim that is about to be asked for; the version to keep from, 0 if
// there is none to choose.
func (t *truth) trim(key msg.Key, choose func(n int) int) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.factOf(key)
	var known []*entry
	for _, e := range f.log[f.start:] {
		if e.version > 0 && !e.acked.IsZero() {
			known = append(known, e)
		}
	}
	if f.deleted || len(known) == 0 {
		return 0
	}
	e := known[choose(len(known))]
	f.floor = max(f.floor, e.pos)
	f.peak = max(f.peak, e.version)
	f.floors[e.version] = true
	return e.version
}

// remove notes a delete that is about to be asked for; false if there is nothing.
func (t *truth) remove(key msg.Key, recreate, continuation bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.factOf(key)
	if f.deleted || len(f.log) == 0 {
		return false
	}
	f.deleted, f.gone, f.continuing = true, !recreate, continuation
	f.turn, f.reborn = time.Time{}, nil
	f.removals = append(f.removals, removal{len(f.log), time.Now()})
	return true
}

// removed notes that a delete is known to be done.
func (t *truth) removed(key msg.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.facts[key].turn = time.Now()
}

// stuck tells whether there is a batch that is too large to be read.
func (t *truth) stuck(key msg.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.factOf(key)
	return !f.deleted && slices.ContainsFunc(f.log[min(max(f.start, f.floor), len(f.log)):], func(e *entry) bool { return e.oversize })
}

// writable tells whether a write can be issued.
func (t *truth) writable(key msg.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.factOf(key).gone
}

// startOf returns where a life begins in the log.
func (f *fact) startOf(life int) int {
	for i, e := range f.log {
		if e.life == life {
			return i
		}
	}
	return len(f.log)
}
