package engine_test

import (
	"encoding/binary"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// entry is one committed batch.
type entry struct {
	key    msg.Key
	batch  msg.Batch
	anchor checkpoint.Anchor
	stored int64
	life   int    // counts fresh recreations
	pos    int    // in the log of its aggregate
	seq    uint64 // when it was committed
}

func (e *entry) version() uint64 { return e.batch.Version }

// record is one thing committed.
type record struct {
	seq      uint64
	key      msg.Key
	op       msg.Operation // OpWrite, OpTrimStart or OpDelete
	entry    *entry
	keepFrom uint64
}

// fact is what is true of one aggregate.
type fact struct {
	key     msg.Key
	log     []*entry // of all lives
	life    int
	start   int // where the present life begins in log
	deleted bool
	// recreatable and continuing are what the last delete allowed.
	recreatable, continuing bool
	// high is the version the node counts on from.
	high  uint64
	floor uint64
	// peak is the highest floor of the life, floors all there ever were.
	peak     uint64
	floors   map[uint64]bool
	removed  uint64 // seq of the last delete
	reborn   uint64 // seq of the first write after it
	eventSeq uint64
}

// turn is the last change of life.
func (f *fact) turn() uint64 { return max(f.removed, f.reborn) }

// startOf returns where a life begins in the log.
func (f *fact) startOf(life int) int {
	for i, e := range f.log {
		if e.life == life {
			return i
		}
	}
	return len(f.log)
}

// truth is the durable history, as the node that decides keeps it.
type truth struct {
	seq     uint64
	time    func() time.Time
	off     time.Duration   // what the present leader's clock is off by
	times   map[uint64]bool // given
	facts   map[msg.Key]*fact
	entries []*entry // by the number in their first payload
}

func newTruth(now func() time.Time) *truth {
	return &truth{time: now, times: make(map[uint64]bool), facts: make(map[msg.Key]*fact)}
}

// now is the leader's time, in milliseconds. No time is given twice: a list tells
// batches of one version apart by it.
func (t *truth) now() uint64 {
	ms := uint64(t.time().Add(t.off).UnixMilli())
	for t.times[ms] {
		ms++
	}
	t.times[ms] = true
	return ms
}

// entryOf finds a batch by its payload.
func (t *truth) entryOf(b *msg.Batch) *entry {
	if len(b.Events) == 0 || len(b.Events[0].Value) < 8 {
		return nil
	}
	if n := binary.LittleEndian.Uint64(b.Events[0].Value); n < uint64(len(t.entries)) {
		return t.entries[n]
	}
	return nil
}

// write appends a batch with size bytes of payload; false if the aggregate was
// deleted for good.
func (t *truth) write(key msg.Key, size int, client uint64) (record, bool) {
	f := t.facts[key]
	if f == nil {
		f = &fact{key: key, floor: 1, peak: 1, floors: make(map[uint64]bool)}
		t.facts[key] = f
	}
	if f.deleted && !f.recreatable {
		return record{}, false
	}
	t.seq++
	version := f.high + 1
	if f.deleted {
		f.deleted, f.floor, f.reborn = false, 1, t.seq
		if !f.continuing {
			f.life++
			f.start, f.peak = len(f.log), 1
			version, f.eventSeq = 1, 0
		}
	}
	f.high = max(f.high, version)
	payload := make([]byte, max(8, size))
	binary.LittleEndian.PutUint64(payload, uint64(len(t.entries)))
	f.eventSeq++
	e := &entry{key: key, life: f.life, pos: len(f.log), seq: t.seq, stored: int64(70 + len(payload)), batch: msg.Batch{
		Version: version, ClientID: msg.IDFromUint64(client), ServerTimestamp: t.now(),
		Events: []msg.Event{{ClientSeq: t.seq, EventSeq: f.eventSeq, Major: 1, Value: payload}},
	}}
	e.anchor = checkpoint.AnchorOf(&e.batch)
	f.log = append(f.log, e)
	t.entries = append(t.entries, e)
	return record{seq: t.seq, key: key, op: msg.OpWrite, entry: e}, true
}

// trim raises the floor to that of a batch; false if nothing changes.
func (t *truth) trim(key msg.Key, keepFrom uint64) (record, bool) {
	f := t.facts[key]
	if f == nil || f.deleted || keepFrom <= f.floor || keepFrom > f.log[len(f.log)-1].version() {
		return record{}, false
	}
	t.seq++
	f.floor, f.peak = keepFrom, max(f.peak, keepFrom)
	f.floors[keepFrom] = true
	return record{seq: t.seq, key: key, op: msg.OpTrimStart, keepFrom: keepFrom}, true
}

func (t *truth) remove(key msg.Key, recreatable, continuing bool) (record, bool) {
	f := t.facts[key]
	if f == nil || f.deleted {
		return record{}, false
	}
	t.seq++
	f.deleted, f.recreatable, f.continuing, f.removed = true, recreatable, continuing, t.seq
	return record{seq: t.seq, key: key, op: msg.OpDelete}, true
}

// forgetHigh is what a restart does: counting goes on from the last batch that
// is there.
func (t *truth) forgetHigh(key msg.Key) {
	f := t.facts[key]
	f.high = f.log[len(f.log)-1].version()
}
