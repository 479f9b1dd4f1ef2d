package shard

import "github.com/celeriant/celeriant-go/msg"

// Write appends one batch to each aggregate of the request, all or none.
// Checks run in the order of section 3.1: shape of all aggregates, then for each
// existence, guard, idempotency, schema.
func (s *Shard) Write(req *msg.WriteRequest, now uint64) (*msg.WriteResponse, *Refusal) {
	writes := lastOfEachKey(req.Writes, func(w *msg.AggregateWrite) msg.Key { return w.Key })
	if len(writes) == 0 {
		return nil, refuse(msg.CodeEmptyEvents)
	}
	shuffle(s.options.Rand, writes)
	for _, w := range writes {
		if no := checkShape(w.Events); no != nil {
			return nil, no
		}
	}
	for _, w := range writes {
		if no := s.checkWrite(w, req.ClientID); no != nil {
			return nil, no
		}
	}
	record := &Record{Kind: RecordWrite, Time: now, ClientID: req.ClientID, UserID: req.UserID}
	record.Writes = make([]WriteEntry, len(writes))
	payloads := newArena(writes)
	for i, w := range writes {
		record.Writes[i] = s.number(w, record, payloads)
	}
	if no := s.append(record, msg.CodeWriteSync); no != nil {
		return nil, no
	}
	resp := &msg.WriteResponse{Correlated: req.Correlated}
	if len(writes) == 1 {
		resp.MaxVersion = msg.Some(record.Writes[0].Batch.Version)
	}
	return resp, nil
}

// checkShape looks at the events alone: none (2000), an event of type 0 (2001).
func checkShape(events []msg.Event) *Refusal {
	if len(events) == 0 {
		return refuse(msg.CodeEmptyEvents)
	}
	for i := range events {
		if events[i].Major == 0 {
			return refusal(msg.CodeZeroEventType, number("client_seq", events[i].ClientSeq))
		}
	}
	return nil
}

// checkWrite judges one aggregate's write by the state before the request.
func (s *Shard) checkWrite(w *msg.AggregateWrite, client msg.ID) *Refusal {
	st := s.ledger.aggregates[w.Key]
	current := uint64(0)
	switch {
	case st == nil:
		if w.DenyCreate {
			return refuse(msg.CodeWriteNotFound)
		}
	case st.deleted && !st.recreate:
		return refuse(msg.CodeRecreateNotAllowed)
	default:
		current = st.version
	}
	if expected, guarded := w.ExpectedVersion.Get(); guarded && expected != current {
		return conflict(msg.CodeVersionConflict, expected, current)
	}
	if w.EnforceIdempotency && st != nil {
		if no := s.checkFloor(floorKey{st, client}, lowestClientSeq(w.Events)); no != nil {
			return no
		}
	}
	return s.checkSchemas(w.Key, w.Events)
}

// checkFloor compares with the highest client sequence accepted so far. A
// stored 0 counts as none, except while its write is in flight (section 3.3).
func (s *Shard) checkFloor(key floorKey, lowest uint64) *Refusal {
	have, known := s.ledger.floors[key]
	inFlight := have.position > s.shown
	if !known || lowest > have.seq || (have.seq == 0 && !inFlight) {
		return nil
	}
	code := msg.CodeDuplicate
	if inFlight {
		code = msg.CodeInFlight
	}
	return refusal(code, number("last_client_seq", have.seq), number("attempted_client_seq", lowest))
}

func conflict(code msg.Code, expected, current uint64) *Refusal {
	return refusal(code, number("expected_version", expected), number("current_aggregate_version", current))
}

// number makes the batch of a write: the rules of sections 3.2 and 4.3.
func (s *Shard) number(w *msg.AggregateWrite, r *Record, payloads *arena) WriteEntry {
	before := standing{min: 1}
	if st := s.ledger.aggregates[w.Key]; st != nil {
		before = *st
	}
	version, eventSeq, minimum := before.version+1, before.eventSeq, before.min
	if before.fresh() {
		version, eventSeq, minimum = 1, 0, 1
	} else if before.deleted && s.options.Quirks {
		minimum = 1 // what had been trimmed reappears with the old history
	}
	events := payloads.copyEvents(w.Events)
	for i := range events {
		eventSeq++
		events[i].EventSeq = eventSeq
	}
	e := WriteEntry{
		Key: w.Key,
		Batch: msg.Batch{
			Version: version, ClientID: r.ClientID, UserID: r.UserID, ServerTimestamp: r.Time, Events: events,
		},
		// A fresh life begins at 1 below the old high-water mark and then jumps
		// above it: guards and details keep counting from the mark.
		MaxVersion:  max(before.version, version),
		MaxEventSeq: max(before.eventSeq, eventSeq),
		MinVersion:  minimum,
	}
	e.measure()
	return e
}

// lastOfEachKey turns the entries of a wire map into one per key, the last
// one, in order of first appearance.
func lastOfEachKey[T any](items []T, keyOf func(*T) msg.Key) []*T {
	kept := make([]*T, 0, len(items))
	if len(items) == 1 {
		return append(kept, &items[0])
	}
	at := make(map[msg.Key]int, len(items))
	for i := range items {
		item := &items[i]
		if j, seen := at[keyOf(item)]; seen {
			kept[j] = item
			continue
		}
		at[keyOf(item)] = len(kept)
		kept = append(kept, item)
	}
	return kept
}
