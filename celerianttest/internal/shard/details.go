package shard

import "github.com/celeriant/celeriant-go/msg"

// Details answers from the committed state (section 4.5).
func (s *Shard) Details(req *msg.DetailsRequest) (*msg.DetailsResponse, *Refusal) {
	h := s.view.lookup(req.Key, s.log)
	if h == nil {
		return nil, refuse(msg.CodeDetailsNotFound)
	}
	resp := &msg.DetailsResponse{
		Correlated:                req.Correlated,
		MinVersion:                h.min,
		MaxVersion:                h.version,
		MaxEventSeq:               h.eventSeq,
		Deleted:                   h.deleted,
		AllowRecreate:             h.recreate,
		AllowSequenceContinuation: h.carryOn,
		LastServerTimestamp:       h.time,
		LastClientID:              h.client,
		LastUserID:                h.user,
	}
	if h.deleted {
		resp.MinVersion = 0
	}
	return resp, nil
}
