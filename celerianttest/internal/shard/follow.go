package shard

import "fmt"

// Follow makes the log equal to a leader's, given oldest record first: what
// this log holds beside it and never committed is discarded, what it lacks is
// applied. Records are the same when they are one in memory. Follow fails, and
// changes nothing, if something committed here is not in the leader's log.
func (s *Shard) Follow(log []*Record) error {
	common, err := s.agreement(log)
	if err != nil {
		return err
	}
	if err := s.TruncateTo(common); err != nil {
		return err
	}
	for _, r := range log[common:] {
		if err := s.Apply(r); err != nil {
			return err
		}
	}
	return nil
}

// Holds reports whether the log begins with all the given records.
func (s *Shard) Holds(log []*Record) bool {
	common, err := s.agreement(log)
	return err == nil && common == uint64(len(log))
}

// agreement returns the position up to which both logs are the same.
func (s *Shard) agreement(log []*Record) (uint64, error) {
	common := s.Committed()
	if common > uint64(len(log)) || (common > 0 && s.log[common-1] != log[common-1]) {
		return 0, fmt.Errorf("shard %d: record %d is committed and not in the log to follow, of %d records", s.options.Index, common, len(log))
	}
	for common < min(s.Tail(), uint64(len(log))) && s.log[common] == log[common] {
		common++
	}
	return common, nil
}

// RepeatNewest makes reads return the batches of the newest committed write
// twice from now on, as a restarted follower of the reference server sometimes
// does (section 9.5). Lists, details and watches do not show it. RepeatNewest
// reports whether there was such a write.
func (s *Shard) RepeatNewest() bool {
	for position := s.shown; position > 0; position-- {
		r := s.log[position-1]
		if r.Kind != RecordWrite {
			continue
		}
		for i := range r.Writes {
			s.view.histories[r.Writes[i].Key].repeat(&r.Writes[i])
		}
		return true
	}
	return false
}

// repeat holds the newest batch twice, if it is this one.
func (h *history) repeat(e *WriteEntry) {
	if n := len(h.batches); n > 0 && h.batches[n-1] == e {
		h.batches = append(h.batches, e)
	}
}
