package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/fields"
	"github.com/celeriant/celeriant-go/msg"
)

// considerSnapshot begins a snapshot if the journal is long enough. The caller has
// the turn.
func (j *journal) considerSnapshot() {
	s := j.state
	if j.snapshotting || s.bytes < j.store.opts.SnapshotBytes || s.bytes < s.live() {
		return
	}
	j.store.mu.Lock()
	defer j.store.mu.Unlock()
	if j.store.closed {
		return
	}
	j.snapshotting = true
	j.store.background.Go(func() {
		// A snapshot that fails leaves a longer journal, and nothing else.
		_ = j.snapshot(j.store.ctx)
		if j.enter(context.Background()) == nil {
			j.snapshotting = false
			j.leave()
		}
	})
}

// maxPart bounds how long saves wait for a part.
const maxPart = 1 << 20

var errLine = errors.New("the journal is another one than the snapshot began with")

// snapshot appends the state part by part, saves between them, and trims what lies
// before the first part.
func (j *journal) snapshot(ctx context.Context) error {
	var order [][]msg.Key
	line := -1
	var first uint64
	var firstID id
	for low := uint16(0); low < checkpoint.Buckets; {
		var part record
		number, err := j.change(ctx, func(s *state) (*record, error) {
			if line < 0 {
				line = j.line
			}
			if line != j.line {
				return nil, errLine
			}
			if low == 0 {
				order = s.order()
			}
			part = s.part(order, low, min(maxPart, j.store.log.MaxRecord()))
			return &part, nil
		})
		if err != nil {
			return err
		}
		if low == 0 {
			first, firstID = number, part.id
		}
		low = part.high
	}
	if err := j.verify(ctx, firstID); err != nil {
		return err
	}
	return j.store.log.Trim(ctx, j.name, first)
}

// order returns the keys of the cursors by their buckets, as they are where the first
// part is: those that come later are appended behind it.
func (s *state) order() [][]msg.Key {
	buckets := make([][]msg.Key, checkpoint.Buckets)
	for k := range s.cursors {
		b := checkpoint.Bucket(k)
		buckets[b] = append(buckets[b], k)
	}
	return buckets
}

// bucketOf spreads records over the buckets.
func bucketOf(key string) uint16 { return uint16(checkpoint.RevisionOf([]byte(key)) >> 52) }

// part returns the next part of a snapshot: what is in the buckets from low on, as
// many as fit into limit. Cursors that are not in order were appended behind the
// first part, and so need no place in any.
func (s *state) part(order [][]msg.Key, low uint16, limit int) record {
	r := s.next()
	r.part, r.low, r.high = true, low, low
	if low == 0 && s.name != "" {
		own := s.ownership
		r.own = &own
	}
	records := make(map[uint16][]string)
	for key := range s.records {
		records[bucketOf(key)] = append(records[bucketOf(key)], key)
	}
	size := r.size()
	for ; r.high < checkpoint.Buckets; r.high++ {
		more := len(order[r.high]) * entrySize
		for _, key := range records[r.high] {
			more += recordSize + len(key) + len(s.records[key])
		}
		if size+more > limit && r.high > low {
			break
		}
		size += more
		for _, k := range order[r.high] {
			if c, ok := s.cursors[k]; ok {
				r.Moved = append(r.Moved, checkpoint.Entry{Key: k, Cursor: c})
			}
		}
		slices.Sort(records[r.high])
		for _, key := range records[r.high] {
			r.Records = append(r.Records, checkpoint.RecordChange{Key: key, Value: s.records[key]})
		}
	}
	return r
}

// verify makes sure that a snapshot's first part is in effect for everybody who
// reads the journal from its beginning, before what it stands for is removed. A
// process that did not notice a failover may have appended one that is not.
func (j *journal) verify(ctx context.Context, firstID id) error {
	var at state // of heads alone
	at.name = j.name
	found := false
	for raw, err := range j.store.log.Read(ctx, j.name, 0) {
		if err != nil {
			return err
		}
		var r record
		b := fields.New(raw.Data, binary.BigEndian)
		if _, err := r.decodeHead(b); err != nil {
			return err
		}
		if at.index == 0 || r.previous == at.last && r.index == at.index+1 {
			at.index, at.last = r.index, r.id
			found = found || r.id == firstID
		}
	}
	if !found {
		return errLine
	}
	return nil
}
