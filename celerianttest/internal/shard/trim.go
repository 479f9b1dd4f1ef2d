package shard

import "github.com/celeriant/celeriant-go/msg"

// TrimStart raises an aggregate's floor. At or below the present floor it
// succeeds and appends nothing (section 4.4).
func (s *Shard) TrimStart(req *msg.TrimStartRequest, now uint64) (*msg.TrimStartResponse, *Refusal) {
	st := s.ledger.aggregates[req.Key]
	if st == nil || st.deleted {
		return nil, refuse(msg.CodeTrimNotFound)
	}
	resp := &msg.TrimStartResponse{Correlated: req.Correlated}
	if req.KeepFrom <= st.min {
		return resp, nil
	}
	if req.KeepFrom > st.version {
		return nil, refusal(msg.CodeTrimBeyondEnd, number("requested", req.KeepFrom), number("max_aggregate_version", st.version))
	}
	record := &Record{Kind: RecordTrim, Time: now, ClientID: req.ClientID, UserID: req.UserID,
		Trim: TrimEntry{Key: req.Key, KeepFrom: req.KeepFrom, MaxVersion: st.version, MaxEventSeq: st.eventSeq}}
	if no := s.append(record, msg.CodeTrimSync); no != nil {
		return nil, no
	}
	return resp, nil
}
