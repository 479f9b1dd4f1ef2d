package shard

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// Shard is the whole state of one shard. A Shard is not safe for concurrent
// use: callers hold a lock around every method.
type Shard struct {
	options Options
	log     []*Record // log[i] is at position i+1
	ledger  *ledger   // write side: everything in the log
	undos   []undo    // one for each record that is not committed yet
	shown   uint64    // position of the newest record that can be read
	view    *view     // read side: everything committed
	catalog *catalog  // summaries for the lists, committed too
}

// New returns an empty shard.
func New(o Options) *Shard {
	o = o.withDefaults()
	return &Shard{options: o, ledger: newLedger(), view: newView(), catalog: newCatalog(o.SegmentBytes)}
}

// Tail returns the position of the newest record: how many were ever appended.
func (s *Shard) Tail() uint64 { return uint64(len(s.log)) }

// Committed returns the position of the newest committed record.
func (s *Shard) Committed() uint64 { return uint64(len(s.log) - len(s.undos)) }

// Shown returns the position of the newest readable record.
func (s *Shard) Shown() uint64 { return s.shown }

// Records returns at most limit records that follow a position, oldest first;
// limit 0 means all. The slice stays valid and must not be changed.
func (s *Shard) Records(after uint64, limit int) []*Record {
	if after >= s.Tail() {
		return nil
	}
	records := s.log[after:]
	if limit > 0 && len(records) > limit {
		records = records[:limit]
	}
	return records[:len(records):len(records)]
}

// append is the last step of every mutation, once nothing can refuse it any
// more but its size: tooLarge is the code then (section 3.2).
func (s *Shard) append(r *Record, tooLarge msg.Code) *Refusal {
	if r.footprint() > s.options.SegmentBytes {
		return refusal(tooLarge, number("preallocate_bytes", s.options.SegmentBytes))
	}
	s.enter(r)
	return nil
}

func (s *Shard) enter(r *Record) {
	s.log = append(s.log, r)
	s.undos = append(s.undos, s.ledger.apply(r, s.Tail(), s.options.Validators, false))
}

// Apply appends a record that another shard, or this one in an earlier run of
// the process, accepted. The shard keeps the record. The record is not readable
// until committed. A record that contradicts what the log holds is an error and
// changes nothing.
func (s *Shard) Apply(r *Record) error {
	if err := s.ledger.admits(r); err != nil {
		return fmt.Errorf("shard %d: applying record %d: %w", s.options.Index, s.Tail()+1, err)
	}
	s.enter(r)
	return nil
}

// TruncateTo discards the records behind a position, as a deposed leader does
// with what was never acknowledged. Committed records cannot be discarded.
func (s *Shard) TruncateTo(position uint64) error {
	if position < s.Committed() {
		return fmt.Errorf("shard %d: truncating to position %d, but %d is committed", s.options.Index, position, s.Committed())
	}
	for s.Tail() > position {
		s.undos[len(s.undos)-1](s.ledger)
		s.undos[len(s.undos)-1] = nil
		s.undos = s.undos[:len(s.undos)-1]
		s.log = s.log[:len(s.log)-1]
	}
	s.log = s.log[:len(s.log):len(s.log)] // slices handed out by Records must not see what comes next
	return nil
}

// Restart does to memory what killing and starting the node does. Without
// quirks nothing changes. With them the read side starts cold (section 4.6)
// and the counters and client floors are those of the newest records (3.3, 4.3).
func (s *Shard) Restart() {
	committed := s.Committed()
	s.Show(committed)
	if !s.options.Quirks {
		return
	}
	s.ledger, s.undos = newLedger(), nil
	for i, r := range s.log {
		position := uint64(i + 1)
		back := s.ledger.apply(r, position, s.options.Validators, true)
		if position > committed {
			s.undos = append(s.undos, back)
		}
	}
	s.view.chill(committed)
}
