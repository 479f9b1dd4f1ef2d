package shard

import (
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// filter is a read's filters, prepared: batch level first, then event level
// (section 5, protocol section 6.5). Batch-level checks decide what counts
// against a page and where the next begins.
type filter struct {
	*msg.ReadFilters
	from, to                       uint64
	clientSeq, timestamp, position bounds
	// narrows tells that events have to be looked at one by one.
	narrows bool
}

// bounds is an inclusive range.
type bounds struct{ low, high uint64 }

func newBounds(low, high msg.Opt[uint64]) bounds { return bounds{low.Or(0), high.Or(^uint64(0))} }

func (b bounds) has(n uint64) bool { return b.low <= n && n <= b.high }

func (b bounds) all() bool { return b.low == 0 && b.high == ^uint64(0) }

func newFilter(f *msg.ReadFilters) *filter {
	c := &filter{
		ReadFilters: f,
		from:        f.From,
		to:          f.To.Or(^uint64(0)),
		clientSeq:   newBounds(f.MinClientSeq, f.MaxClientSeq),
		timestamp:   newBounds(f.MinEventTimestamp, f.MaxEventTimestamp),
		position:    newBounds(f.MinEventSeq, f.MaxEventSeq),
	}
	c.narrows = len(f.EventTypes) > 0 || !c.clientSeq.all() || !c.timestamp.all() || !c.position.all()
	return c
}

// passes is the batch level.
func (f *filter) passes(b *msg.Batch) bool {
	if id, set := f.ExcludeClientID.Get(); set && b.ClientID == id {
		return false
	}
	if id, set := f.IncludeClientID.Get(); set && b.ClientID != id {
		return false
	}
	// A batch without a user is not the excluded user's, and is not the
	// included user's either.
	if id, set := f.ExcludeUserID.Get(); set && b.UserID == msg.Some(id) {
		return false
	}
	if id, set := f.IncludeUserID.Get(); set && b.UserID != msg.Some(id) {
		return false
	}
	if b.ServerTimestamp < f.MinServerTimestamp.Or(0) || b.ServerTimestamp > f.MaxServerTimestamp.Or(^uint64(0)) {
		return false
	}
	return !f.narrows || f.touches(b.Events)
}

// touches tells whether the events' types and ranges meet the event-level
// filters, each taken alone: the batch may yet be left without an event.
func (f *filter) touches(events []msg.Event) bool {
	listed := len(f.EventTypes) == 0
	seqs, times := bounds{^uint64(0), 0}, bounds{^uint64(0), 0}
	for i := range events {
		e := &events[i]
		listed = listed || slices.Contains(f.EventTypes, e.Major)
		seqs = bounds{min(seqs.low, e.ClientSeq), max(seqs.high, e.ClientSeq)}
		times = bounds{min(times.low, e.Timestamp), max(times.high, e.Timestamp)}
	}
	positions := bounds{events[0].EventSeq, events[len(events)-1].EventSeq}
	return listed && f.clientSeq.meets(seqs) && f.timestamp.meets(times) && f.position.meets(positions)
}

func (b bounds) meets(other bounds) bool { return b.low <= other.high && other.low <= b.high }

// events is the event level: what is left of a batch.
func (f *filter) events(events []msg.Event) []msg.Event {
	var kept []msg.Event
	for i := range events {
		if f.keeps(&events[i]) {
			kept = append(kept, events[i])
		}
	}
	return kept
}

func (f *filter) keeps(e *msg.Event) bool {
	return (len(f.EventTypes) == 0 || slices.Contains(f.EventTypes, e.Major)) &&
		f.clientSeq.has(e.ClientSeq) && f.timestamp.has(e.Timestamp) && f.position.has(e.EventSeq)
}
