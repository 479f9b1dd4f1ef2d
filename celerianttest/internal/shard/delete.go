package shard

import "github.com/celeriant/celeriant-go/msg"

// Delete marks its aggregates as deleted, all or none: existence of all keys
// first, then the guards (section 4.1).
func (s *Shard) Delete(req *msg.DeleteRequest, now uint64) (*msg.DeleteResponse, *Refusal) {
	deletes := lastOfEachKey(req.Deletes, func(d *msg.AggregateDelete) msg.Key { return d.Key })
	if len(deletes) == 0 {
		return nil, refuse(msg.CodeEmptyDeletes)
	}
	shuffle(s.options.Rand, deletes)
	for _, d := range deletes {
		if st := s.ledger.aggregates[d.Key]; st == nil || st.deleted {
			return nil, refuse(msg.CodeDeleteNotFound)
		}
	}
	record := &Record{Kind: RecordDelete, Time: now, ClientID: req.ClientID, UserID: req.UserID}
	for _, d := range deletes {
		st := s.ledger.aggregates[d.Key]
		if expected, guarded := d.ExpectedVersion.Get(); guarded && expected != st.version {
			return nil, conflict(msg.CodeDeleteConflict, expected, st.version)
		}
		record.Deletes = append(record.Deletes, DeleteEntry{Key: d.Key, AllowRecreate: d.AllowRecreate,
			AllowSequenceContinuation: d.AllowSequenceContinuation, MaxVersion: st.version, MaxEventSeq: st.eventSeq})
	}
	if no := s.append(record, msg.CodeDeleteSync); no != nil {
		return nil, no
	}
	return &msg.DeleteResponse{Correlated: req.Correlated}, nil
}
