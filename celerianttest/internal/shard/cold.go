package shard

import "github.com/celeriant/celeriant-go/msg"

// chill forgets what readers knew, as a restart does (section 4.6).
func (v *view) chill(committed uint64) {
	v.scanned = committed + 1
	for _, h := range v.histories {
		h.known, h.recreate, h.carryOn = false, false, false
		h.warm = len(h.batches)
	}
}

// fill finds an aggregate's newest record as the reference server does on a
// cold read: backwards from the log's end. On the way the newest batch of
// every other unknown aggregate is remembered, but not its tombstone, nor its
// trim: that is what makes ghosts. The search starts from the end each time (a
// tombstone that one search passed by is found by the next that looks for it),
// but what one search remembered leaves nothing to remember for the next, so
// no position is walked twice.
func (v *view) fill(h *history, key msg.Key, log []*Record) {
	h.load(key, log[h.newest-1])
	for v.scanned > h.newest {
		v.scanned--
		r := log[v.scanned-1]
		for i := range r.Writes {
			e := &r.Writes[i]
			if other := v.histories[e.Key]; !other.known {
				other.remember(e)
			}
		}
	}
}

// load takes an aggregate's state from its newest record. Here, other than
// while the node runs, a trim counts as the newest change (section 4.5).
func (h *history) load(key msg.Key, r *Record) {
	switch r.Kind {
	case RecordWrite:
		for i := range r.Writes {
			if r.Writes[i].Key == key {
				h.remember(&r.Writes[i])
			}
		}
	case RecordDelete:
		for i := range r.Deletes {
			if r.Deletes[i].Key == key {
				h.delete(&r.Deletes[i], r)
			}
		}
	case RecordTrim:
		h.known, h.deleted, h.recreate, h.carryOn = true, false, false, false
		h.min, h.version, h.eventSeq = r.Trim.KeepFrom, r.Trim.MaxVersion, r.Trim.MaxEventSeq
		h.time, h.client, h.user = r.Time, r.ClientID, r.UserID
	}
}
