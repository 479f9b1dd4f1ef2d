package shard

import "github.com/celeriant/celeriant-go/msg"

// view is the read side: what reads and details answer from. The view changes
// only when records are committed.
type view struct {
	histories map[msg.Key]*history
	// scanned is the cold fill's progress (section 4.6): every batch at or
	// behind this position is remembered. Beyond the log's end until the first
	// cold lookup after a restart.
	scanned uint64
}

// history is what is committed of one aggregate.
type history struct {
	batches []*WriteEntry // of all lives, as committed
	lives   []int         // where in batches each life begins; versions ascend within a life
	newest  uint64        // position of the newest record

	// The fields below are the aggregate's state as readers see it. All are meaningful when
	// known is set: always without quirks; with quirks a restart clears it.
	known    bool
	deleted  bool
	recreate bool
	carryOn  bool
	min      uint64
	version  uint64
	eventSeq uint64
	time     uint64
	client   msg.ID
	user     msg.Opt[msg.ID]
	// warm is where in batches the read cache begins: at the last delete or
	// restart (sections 4.3, 4.6).
	warm int
}

func newView() *view { return &view{histories: make(map[msg.Key]*history)} }

// commit makes the record at a position readable.
func (v *view) commit(r *Record, position uint64, log []*Record) {
	for i := range r.Writes {
		e := &r.Writes[i]
		h := v.histories[e.Key]
		if h == nil {
			h = &history{known: true}
			v.histories[e.Key] = h
		}
		h.write(e, position)
	}
	for i := range r.Deletes {
		h := v.histories[r.Deletes[i].Key]
		h.delete(&r.Deletes[i], r)
		h.newest = position
	}
	if r.Kind == RecordTrim {
		h := v.histories[r.Trim.Key]
		if !h.known { // or a cold lookup of another aggregate would forget this trim
			h.load(r.Trim.Key, log[h.newest-1])
		}
		h.min, h.newest = r.Trim.KeepFrom, position
	}
}

// foresee takes the delete off the aggregates a record writes to.
func (v *view) foresee(r *Record) {
	for i := range r.Writes {
		if h := v.histories[r.Writes[i].Key]; h != nil && h.known {
			h.deleted = false
		}
	}
}

func (h *history) write(e *WriteEntry, position uint64) {
	if e.Batch.Version == 1 {
		h.lives = append(h.lives, len(h.batches))
	}
	h.batches = append(h.batches, e)
	recreate, carryOn := h.recreate, h.carryOn
	h.remember(e)
	h.version, h.eventSeq = e.MaxVersion, e.MaxEventSeq
	h.recreate, h.carryOn = recreate, carryOn // details keep the last delete's flags (section 4.5)
	h.newest = position
}

func (h *history) delete(e *DeleteEntry, r *Record) {
	h.known, h.deleted = true, true
	h.recreate, h.carryOn = e.AllowRecreate, e.AllowSequenceContinuation
	h.version, h.eventSeq = e.MaxVersion, e.MaxEventSeq
	h.time, h.client, h.user = r.Time, r.ClientID, r.UserID
	h.warm = len(h.batches)
}

// remember takes an aggregate's state from a batch alone.
func (h *history) remember(e *WriteEntry) {
	h.known, h.deleted, h.recreate, h.carryOn = true, false, false, false
	h.min, h.version, h.eventSeq = e.MinVersion, e.Batch.Version, e.Batch.LastEventSeq()
	h.time, h.client, h.user = e.Batch.ServerTimestamp, e.Batch.ClientID, e.Batch.UserID
}

// lookup returns the history of an aggregate, nil if it never existed.
func (v *view) lookup(key msg.Key, log []*Record) *history {
	h := v.histories[key]
	if h != nil && !h.known {
		v.fill(h, key, log)
	}
	return h
}

// currentLife is where in batches the newest life begins.
func (h *history) currentLife() int { return h.lives[len(h.lives)-1] }
