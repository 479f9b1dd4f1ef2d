package shard

import "github.com/celeriant/celeriant-go/msg"

// ledger is the write side: what the next mutation is judged by. The ledger
// includes everything appended, readable or not.
type ledger struct {
	aggregates map[msg.Key]*standing
	floors     map[floorKey]floor
	schemas    map[msg.SchemaKey]*schema
}

// standing is where one aggregate stands. A standing exists from the first
// write on and for ever: a delete only marks it.
type standing struct {
	version  uint64 // highest ever, what guards compare with
	newest   uint64 // of the newest batch, lower in the first write of a fresh life
	eventSeq uint64 // highest ever
	min      uint64 // lowest readable version
	deleted  bool
	recreate bool // of the last delete
	carryOn  bool // of the last delete: a recreation continues the numbering
}

// fresh reports whether the next batch begins a new life at version 1.
func (st *standing) fresh() bool { return st.deleted && !st.carryOn }

// floorKey names one client's idempotency floor in one aggregate.
type floorKey struct {
	aggregate *standing
	client    msg.ID
}

// floor is the highest client sequence a client had accepted in an aggregate,
// and the position of its last write there, which tells a stored duplicate
// (2002) from one in flight (2013).
type floor struct {
	seq      uint64
	position uint64
}

func newLedger() *ledger {
	return &ledger{
		aggregates: make(map[msg.Key]*standing),
		floors:     make(map[floorKey]floor),
		schemas:    make(map[msg.SchemaKey]*schema),
	}
}

// undo takes back one record's effect on the ledger.
type undo func(*ledger)

// apply enters a record at a position and returns what takes it back.
// With cold set it leaves what a restarted reference server would
// remember: counters of the newest record, floors of each client's latest
// batch (sections 3.3, 4.3).
func (l *ledger) apply(r *Record, position uint64, compilers map[msg.SchemaType]SchemaCompiler, cold bool) undo {
	switch r.Kind {
	case RecordWrite:
		undos := make([]undo, 0, len(r.Writes))
		for i := range r.Writes {
			undos = append(undos, l.write(&r.Writes[i], position, cold))
		}
		return reversed(undos)
	case RecordDelete:
		undos := make([]undo, 0, len(r.Deletes))
		for i := range r.Deletes {
			undos = append(undos, l.delete(&r.Deletes[i]))
		}
		return reversed(undos)
	case RecordTrim:
		return l.trim(&r.Trim)
	case RecordSchema:
		l.schemas[r.Schema.Key] = compileSchema(&r.Schema, compilers)
		return func(l *ledger) { delete(l.schemas, r.Schema.Key) }
	}
	return func(*ledger) {}
}

// reversed runs the newest undo first, so that an aggregate changed twice
// ends up as it was.
func reversed(undos []undo) undo {
	if len(undos) == 1 {
		return undos[0]
	}
	return func(l *ledger) {
		for i := len(undos) - 1; i >= 0; i-- {
			undos[i](l)
		}
	}
}

func (l *ledger) write(e *WriteEntry, position uint64, cold bool) undo {
	st, existed := l.aggregates[e.Key]
	if !existed {
		st = &standing{}
		l.aggregates[e.Key] = st
	}
	before := *st
	st.version, st.eventSeq, st.min = e.MaxVersion, e.MaxEventSeq, e.MinVersion
	if cold {
		st.version, st.eventSeq = e.Batch.Version, e.Batch.LastEventSeq()
	}
	st.newest, st.deleted = e.Batch.Version, false

	fk := floorKey{st, e.Batch.ClientID}
	old, hadFloor := l.floors[fk]
	highest := highestClientSeq(e.Batch.Events)
	if !cold {
		highest = max(highest, old.seq)
	}
	l.floors[fk] = floor{seq: highest, position: position}
	key := e.Key
	return func(l *ledger) {
		*st = before
		if hadFloor {
			l.floors[fk] = old
		} else {
			delete(l.floors, fk)
		}
		if !existed {
			delete(l.aggregates, key)
		}
	}
}

func (l *ledger) delete(e *DeleteEntry) undo {
	st := l.aggregates[e.Key]
	before := *st
	st.deleted, st.recreate, st.carryOn = true, e.AllowRecreate, e.AllowSequenceContinuation
	st.version, st.eventSeq = e.MaxVersion, e.MaxEventSeq
	return func(*ledger) { *st = before }
}

func (l *ledger) trim(e *TrimEntry) undo {
	st := l.aggregates[e.Key]
	before := *st
	st.min, st.version, st.eventSeq = e.KeepFrom, e.MaxVersion, e.MaxEventSeq
	return func(*ledger) { *st = before }
}

// highestClientSeq and lowestClientSeq are the ends of a batch's range.
func highestClientSeq(events []msg.Event) uint64 {
	highest := uint64(0)
	for i := range events {
		highest = max(highest, events[i].ClientSeq)
	}
	return highest
}

func lowestClientSeq(events []msg.Event) uint64 {
	lowest := ^uint64(0)
	for i := range events {
		lowest = min(lowest, events[i].ClientSeq)
	}
	return lowest
}
