package shard_test

import (
	"fmt"
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// model is a slow and obvious shard without quirks: a list of accepted
// mutations, from which every question is answered anew.
type model struct {
	ops       []op
	committed int
}

// op is one accepted mutation; exactly one of its parts is set.
type op struct {
	time   uint64
	client msg.ID
	user   msg.Opt[msg.ID]
	writes []msg.AggregateWrite
	delete []msg.AggregateDelete
	trim   *msg.TrimStartRequest
}

// fate is what became of one aggregate.
type fate struct {
	life      []msg.Batch // the current one, trimmed part included
	version   uint64      // highest ever
	position  uint64      // highest event position ever
	floor     uint64
	dead      bool
	tombstone msg.AggregateDelete // the last one
	last      op                  // the last write or delete
	floors    map[msg.ID]uint64
	lastWrite map[msg.ID]int // index of each client's last write
}

// fates replays the first n mutations.
func (m *model) fates(n int) map[msg.Key]*fate {
	all := map[msg.Key]*fate{}
	for i, o := range m.ops[:n] {
		for _, w := range o.writes {
			f := all[w.Key]
			if f == nil {
				f = &fate{floor: 1, floors: map[msg.ID]uint64{}, lastWrite: map[msg.ID]int{}}
				all[w.Key] = f
			}
			f.write(w, o, i)
		}
		for _, d := range o.delete {
			f := all[d.Key]
			f.dead, f.tombstone, f.last = true, d, o
		}
		if o.trim != nil {
			all[o.trim.Key].floor = o.trim.KeepFrom
		}
	}
	return all
}

func (f *fate) write(w msg.AggregateWrite, o op, index int) {
	version, position := f.version, f.position
	if f.dead && !f.tombstone.AllowSequenceContinuation {
		f.life, f.floor, version, position = nil, 1, 0, 0
	}
	b := msg.Batch{Version: version + 1, ClientID: o.client, UserID: o.user, ServerTimestamp: o.time}
	for _, e := range w.Events {
		position++
		e.EventSeq = position
		b.Events = append(b.Events, e)
		f.floors[o.client] = max(f.floors[o.client], e.ClientSeq)
	}
	f.life = append(f.life, b)
	f.version, f.position = max(f.version, b.Version), max(f.position, position)
	f.dead, f.last, f.lastWrite[o.client] = false, o, index
}

// write predicts the answer: a refusal's text, or "" and the version made.
func (m *model) write(req *msg.WriteRequest, now uint64) (version uint64, no string) {
	fates := m.fates(len(m.ops))
	for _, w := range req.Writes {
		if len(w.Events) == 0 {
			return 0, "2000 {}"
		}
		if i := slices.IndexFunc(w.Events, func(e msg.Event) bool { return e.Major == 0 }); i >= 0 {
			return 0, fmt.Sprintf(`2001 {"client_seq":%d}`, w.Events[i].ClientSeq)
		}
	}
	for _, w := range req.Writes {
		if no := m.refuses(fates[w.Key], w, req.ClientID); no != "" {
			return 0, no
		}
	}
	m.ops = append(m.ops, op{time: now, client: req.ClientID, user: req.UserID, writes: req.Writes})
	life := m.fates(len(m.ops))[req.Writes[0].Key].life
	return life[len(life)-1].Version, ""
}

func (m *model) refuses(f *fate, w msg.AggregateWrite, client msg.ID) string {
	version := uint64(0)
	if f != nil {
		version = f.version
	}
	if f == nil && w.DenyCreate {
		return "2005 {}"
	}
	if f != nil && f.dead && !f.tombstone.AllowRecreate {
		return "2006 {}"
	}
	if w.ExpectedVersion.Set && w.ExpectedVersion.Value != version {
		return fmt.Sprintf(`2003 {"expected_version":%d,"current_aggregate_version":%d}`, w.ExpectedVersion.Value, version)
	}
	if !w.EnforceIdempotency || f == nil {
		return ""
	}
	index, wrote := f.lastWrite[client]
	lowest := slices.MinFunc(w.Events, func(a, b msg.Event) int {
		if a.ClientSeq < b.ClientSeq {
			return -1
		}
		return 1
	}).ClientSeq
	flying := index >= m.committed
	if !wrote || lowest > f.floors[client] || (f.floors[client] == 0 && !flying) {
		return ""
	}
	code := 2002
	if flying {
		code = 2013
	}
	return fmt.Sprintf(`%d {"last_client_seq":%d,"attempted_client_seq":%d}`, code, f.floors[client], lowest)
}

func (m *model) delete(req *msg.DeleteRequest, now uint64) (no string) {
	fates := m.fates(len(m.ops))
	for _, d := range req.Deletes {
		if f := fates[d.Key]; f == nil || f.dead {
			return "4000 {}"
		}
	}
	for _, d := range req.Deletes {
		if f := fates[d.Key]; d.ExpectedVersion.Set && d.ExpectedVersion.Value != f.version {
			return fmt.Sprintf(`4002 {"expected_version":%d,"current_aggregate_version":%d}`, d.ExpectedVersion.Value, f.version)
		}
	}
	m.ops = append(m.ops, op{time: now, client: req.ClientID, user: req.UserID, delete: req.Deletes})
	return ""
}

func (m *model) trim(req *msg.TrimStartRequest, now uint64) (no string) {
	f := m.fates(len(m.ops))[req.Key]
	switch {
	case f == nil || f.dead:
		return "3000 {}"
	case req.KeepFrom <= f.floor:
		return ""
	case req.KeepFrom > f.version:
		return fmt.Sprintf(`3004 {"requested":%d,"max_aggregate_version":%d}`, req.KeepFrom, f.version)
	}
	m.ops = append(m.ops, op{time: now, client: req.ClientID, user: req.UserID, trim: req})
	return ""
}

// read returns all batches a read and its further pages have to deliver.
func (m *model) read(key msg.Key, f msg.ReadFilters) (batches []msg.Batch, no string) {
	a := m.fates(m.committed)[key]
	if a == nil || a.dead {
		return nil, "1001 {}"
	}
	if f.From < a.floor {
		return nil, fmt.Sprintf(`1000 {"requested":%d,"minimum_available":%d}`, f.From, a.floor)
	}
	for _, b := range a.life {
		if b.Version < f.From || (f.To.Set && b.Version > f.To.Value) || !keepsBatch(f, b) {
			continue
		}
		var kept []msg.Event
		for _, e := range b.Events {
			if keepsEvent(f, e) {
				kept = append(kept, e)
			}
		}
		if b.Events = kept; len(kept) > 0 {
			batches = append(batches, b)
		}
	}
	return batches, ""
}

func keepsBatch(f msg.ReadFilters, b msg.Batch) bool {
	if f.IncludeClientID.Set && f.IncludeClientID.Value != b.ClientID {
		return false
	}
	if f.ExcludeClientID.Set && f.ExcludeClientID.Value == b.ClientID {
		return false
	}
	if f.IncludeUserID.Set && (!b.UserID.Set || f.IncludeUserID.Value != b.UserID.Value) {
		return false
	}
	if f.ExcludeUserID.Set && b.UserID.Set && f.ExcludeUserID.Value == b.UserID.Value {
		return false
	}
	return within(b.ServerTimestamp, f.MinServerTimestamp, f.MaxServerTimestamp)
}

func keepsEvent(f msg.ReadFilters, e msg.Event) bool {
	return (len(f.EventTypes) == 0 || slices.Contains(f.EventTypes, e.Major)) &&
		within(e.ClientSeq, f.MinClientSeq, f.MaxClientSeq) &&
		within(e.Timestamp, f.MinEventTimestamp, f.MaxEventTimestamp) &&
		within(e.EventSeq, f.MinEventSeq, f.MaxEventSeq)
}

func within(n uint64, low, high msg.Opt[uint64]) bool {
	return (!low.Set || n >= low.Value) && (!high.Set || n <= high.Value)
}

func (m *model) details(key msg.Key) (d msg.DetailsResponse, no string) {
	f := m.fates(m.committed)[key]
	if f == nil {
		return d, "7001 {}"
	}
	d = msg.DetailsResponse{
		MinVersion: f.floor, MaxVersion: f.version, MaxEventSeq: f.position, Deleted: f.dead,
		AllowRecreate: f.tombstone.AllowRecreate, AllowSequenceContinuation: f.tombstone.AllowSequenceContinuation,
		LastServerTimestamp: f.last.time, LastClientID: f.last.client, LastUserID: f.last.user,
	}
	if f.dead {
		d.MinVersion = 0
	}
	return d, ""
}

// list returns the one page of a shard with a single segment, by key.
func (m *model) list() map[msg.Key]msg.AggregateItem {
	items := map[msg.Key]msg.AggregateItem{}
	for _, o := range m.ops[:m.committed] {
		for _, w := range o.writes {
			it := items[w.Key]
			it.Key, it.Deleted = w.Key, false
			it.BatchCount++
			it.UncompressedSize += 20
			for _, e := range w.Events {
				it.UncompressedSize += 50 + uint64(len(e.Value))
			}
			it.CompressedSize = it.UncompressedSize
			it.MaxServerTimestamp = o.time
			items[w.Key] = it
		}
		for _, d := range o.delete {
			items[d.Key] = msg.AggregateItem{Key: d.Key, Deleted: true}
		}
	}
	for key, f := range m.fates(m.committed) {
		if it := items[key]; !it.Deleted {
			it.MinVersion, it.MaxVersion = f.floor, f.version
			items[key] = it
		}
	}
	return items
}

// commit moves the boundary and returns what watchers hear.
func (m *model) commit(to int) []msg.Notification {
	type heard struct {
		create, deleted bool
		from, to, trim  uint64
	}
	all := map[msg.Key]*heard{}
	var order []msg.Key
	at := func(k msg.Key) *heard {
		if all[k] == nil {
			all[k] = &heard{}
			order = append(order, k)
		}
		return all[k]
	}
	for i := m.committed; i < to; i++ {
		fates := m.fates(i + 1)
		for _, w := range m.ops[i].writes {
			h, life := at(w.Key), fates[w.Key].life
			v := life[len(life)-1].Version
			h.create = h.create || v == 1
			if h.from == 0 || v < h.from {
				h.from = v
			}
			h.to = max(h.to, v)
		}
		for _, d := range m.ops[i].delete {
			at(d.Key).deleted = true
		}
		if trim := m.ops[i].trim; trim != nil && at(trim.Key).trim == 0 {
			at(trim.Key).trim = trim.KeepFrom
		}
	}
	m.committed = to
	var creates, writes, deletes, trims []msg.Notification
	for _, k := range order {
		h := all[k]
		if h.create {
			creates = append(creates, msg.Notification{Key: k, Operation: msg.OpCreate})
		}
		if h.to > 0 {
			writes = append(writes, msg.Notification{Key: k, Operation: msg.OpWrite, From: msg.Some(h.from), To: msg.Some(h.to)})
		}
		if h.deleted {
			deletes = append(deletes, msg.Notification{Key: k, Operation: msg.OpDelete})
		}
		if h.trim > 0 {
			trims = append(trims, msg.Notification{Key: k, Operation: msg.OpTrimStart, KeepFrom: msg.Some(h.trim)})
		}
	}
	return slices.Concat(creates, writes, deletes, trims)
}
