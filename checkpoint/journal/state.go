package journal

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// state is what the records of one journal come to. The state is pure: it knows
// no log, no clock and no lock.
type state struct {
	name      string
	ownership checkpoint.Ownership
	cursors   map[msg.Key]checkpoint.Cursor
	records   map[string][]byte

	// number is the last record's, whether it is in effect or not.
	number uint64
	// index and last are of the last record that is in effect.
	index uint64
	last  id
	// void counts the records that are not in effect.
	void int
	// covered is the bucket below which everything is known: all of them, except
	// behind the first part of a snapshot.
	covered uint16
	// limit is the most cursors there may be.
	limit int
	// bytes are the lengths of the records since the last snapshot began.
	bytes int
}

func newState(name string) *state {
	return &state{name: name, limit: MaxCursors, cursors: make(map[msg.Key]checkpoint.Cursor), records: make(map[string][]byte)}
}

// complete reports whether everything is known that the journal says.
func (s *state) complete() bool { return s.index == 0 || s.covered == checkpoint.Buckets }

// fold takes the next record in. One that does not name the last record in effect
// as the one before it is passed over and counted as void.
func (s *state) fold(number uint64, r *record, size int) error {
	if r.name != s.name {
		return damaged("record %d of %q lies in the journal of %q", r.index, r.name, s.name)
	}
	first := s.index == 0
	switch {
	case first && (r.index == 1 && r.previous == (id{})):
		s.covered = checkpoint.Buckets
	case first && r.part && (r.own != nil || s.name == "") && r.low == 0:
		s.covered = 0
	case first:
		return damaged("it begins with record %d, and the ones before are not in a snapshot", r.index)
	case r.previous != s.last || r.index != s.index+1:
		s.number = number
		s.void++
		return nil
	}
	s.number, s.index, s.last = number, r.index, r.id
	s.bytes += size
	switch {
	case r.part:
		s.foldPart(r, first)
	case r.own != nil:
		s.foldOwn(r)
	default:
		s.apply(&r.Outcome)
	}
	return nil
}

func (s *state) foldPart(r *record, first bool) {
	if r.low == 0 {
		s.bytes = 0
	}
	if s.complete() && !first {
		return // nothing new
	}
	if first && r.own != nil {
		s.ownership = *r.own
	}
	s.apply(&r.Outcome)
	if r.low == s.covered {
		s.covered = r.high
	}
}

func (s *state) foldOwn(r *record) {
	s.ownership = *r.own
	if !r.own.Claimed {
		clear(s.records)
		s.cursors = make(map[msg.Key]checkpoint.Cursor)
		s.covered = checkpoint.Buckets
	}
	if r.rescoped {
		maps.DeleteFunc(s.records, func(key string, _ []byte) bool { return strings.HasPrefix(key, checkpoint.PartitionPrefix) })
	}
}

func (s *state) apply(out *checkpoint.Outcome) {
	for i := range out.Moved {
		s.cursors[out.Moved[i].Key] = out.Moved[i].Cursor
	}
	for i := range out.Records {
		if c := &out.Records[i]; c.Value == nil {
			delete(s.records, c.Key)
		} else {
			s.records[c.Key] = bytes.Clone(c.Value)
		}
	}
}

// decide tells what a mutation changes.
func (s *state) decide(m *checkpoint.Mutation) (checkpoint.Outcome, error) {
	stored := checkpoint.Stored{
		Ownership:  s.ownership,
		Partitions: make([][]byte, len(m.Owners)),
		Cursors:    make([]checkpoint.Cursor, len(m.Entries)),
		Records:    make([][]byte, len(m.Records)),
	}
	for i, o := range m.Owners {
		if o.Leased {
			stored.Partitions[i] = s.records[checkpoint.PartitionKey(o.Partition)]
		}
	}
	for i := range m.Entries {
		stored.Cursors[i] = s.cursors[m.Entries[i].Key]
	}
	for i := range m.Records {
		stored.Records[i] = s.records[m.Records[i].Key]
	}
	if m.Limit != nil {
		for key := range s.records {
			if strings.HasPrefix(key, m.Limit.Prefix) {
				stored.Limited++
			}
		}
	}
	out, err := m.Decide(s.name, stored)
	if err == nil {
		err = s.room(out.Moved)
	}
	if err != nil {
		return checkpoint.Outcome{}, err
	}
	return out, nil
}

// room returns a *checkpoint.CapacityError if the entries would add too many
// cursors.
func (s *state) room(moved []checkpoint.Entry) error {
	if len(s.cursors)+len(moved) <= s.limit {
		return nil
	}
	added := 0
	for i := range moved {
		if _, known := s.cursors[moved[i].Key]; !known {
			added++
		}
	}
	if added == 0 || len(s.cursors)+added <= s.limit {
		return nil
	}
	return &checkpoint.CapacityError{Name: s.name, Cursors: len(s.cursors) + added, Limit: s.limit}
}

// next returns a record that follows the last one in effect.
func (s *state) next() record {
	return record{index: s.index + 1, previous: s.last, id: checkpoint.NewToken(), name: s.name}
}

// live is roughly the length of a snapshot.
func (s *state) live() int {
	size := len(s.ownership.Scope) + len(s.cursors)*entrySize
	for key, value := range s.records {
		size += recordSize + len(key) + len(value)
	}
	return size
}

// recordsOf returns the records whose keys begin with prefix, in their order.
func (s *state) recordsOf(prefix string) []checkpoint.Record {
	var found []checkpoint.Record
	for key, value := range s.records {
		if strings.HasPrefix(key, prefix) {
			found = append(found, checkpoint.Record{Key: key, Value: slices.Clone(value), Revision: checkpoint.RevisionOf(value)})
		}
	}
	slices.SortFunc(found, func(a, b checkpoint.Record) int { return strings.Compare(a.Key, b.Key) })
	return found
}
