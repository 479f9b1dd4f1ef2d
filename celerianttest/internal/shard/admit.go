package shard

import (
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// admits reports why a record cannot follow what the ledger holds, nil if it
// can. admits guards the invariants reading depends on: versions ascend within
// a life, lives begin at 1, tombstones and floors belong to live aggregates.
func (l *ledger) admits(r *Record) error {
	switch r.Kind {
	case RecordWrite:
		return l.admitsWrites(r.Writes)
	case RecordDelete:
		return l.admitsDeletes(r.Deletes)
	case RecordTrim:
		if st := l.aggregates[r.Trim.Key]; st == nil || st.deleted {
			return fmt.Errorf("trim of %v, which is missing or deleted", r.Trim.Key)
		}
		return nil
	case RecordSchema:
		if l.schemas[r.Schema.Key] != nil {
			return fmt.Errorf("schema for event type %d.%d registered twice", r.Schema.Key.Major, r.Schema.Key.Minor)
		}
		return nil
	}
	return fmt.Errorf("unknown kind %d", r.Kind)
}

func (l *ledger) admitsWrites(writes []WriteEntry) error {
	if len(writes) == 0 {
		return errors.New("write without batches")
	}
	seen := make(map[msg.Key]bool, len(writes))
	for i := range writes {
		e := &writes[i]
		if seen[e.Key] {
			return fmt.Errorf("two batches for %v in one write", e.Key)
		}
		seen[e.Key] = true
		if len(e.Batch.Events) == 0 {
			return fmt.Errorf("batch without events for %v", e.Key)
		}
		if err := l.aggregates[e.Key].follows(e); err != nil {
			return fmt.Errorf("batch for %v: %w", e.Key, err)
		}
	}
	return nil
}

// follows checks the numbers of a batch; st is nil for a first write.
func (st *standing) follows(e *WriteEntry) error {
	v := e.Batch.Version
	begins := st == nil || st.fresh()
	switch {
	case e.MaxVersion < v || e.MinVersion == 0 || e.MaxEventSeq < e.Batch.LastEventSeq():
		return fmt.Errorf("version %d outside its own counters", v)
	case begins && v != 1:
		return fmt.Errorf("version %d begins a life that must begin at 1", v)
	case !begins && v <= st.newest:
		return fmt.Errorf("version %d follows %d", v, st.newest)
	case st != nil && st.deleted && !st.recreate:
		return errors.New("deleted for good")
	}
	return nil
}

func (l *ledger) admitsDeletes(deletes []DeleteEntry) error {
	if len(deletes) == 0 {
		return errors.New("delete without aggregates")
	}
	seen := make(map[msg.Key]bool, len(deletes))
	for i := range deletes {
		key := deletes[i].Key
		if st := l.aggregates[key]; st == nil || st.deleted || seen[key] {
			return fmt.Errorf("delete of %v, which is missing or deleted", key)
		}
		seen[key] = true
	}
	return nil
}
