package stream

import (
	"context"
	"math/bits"
	"sort"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// pagesBytes and pagesCount bound the pages kept for subscribers that ask for the same
	// a moment later; a single page may take a quarter of the bytes.
	pagesBytes = 4 << 20
	pagesCount = 1024
	// pageLife is how long a page is kept. Subscribers that were notified of a change
	// together ask within milliseconds; at rest nothing is kept.
	pageLife = 500 * time.Millisecond
	// exactSpan is the length up to which a range is sent as it was asked for: a
	// subscriber that searches for a batch which the node cannot send needs exact ranges.
	exactSpan = 16
)

// pages decides which reads share an answer. The engine takes a page of the leader for
// the truth: a batch that was notified and is missing in it was deleted. So a page is
// shared only with subscribers that can know of nothing newer than the moment when it
// was asked for. A subscriber learns of something newer in one aggregate by a
// notification or another answer that concerns it; in any aggregate, by a list, or by a
// watch joined or lost. Each of them passes through here before any subscriber sees it.
type pages struct {
	// flights are the reads under way that may be joined.
	flights map[msg.Key][]*flight
	// kept holds the last answer of each aggregate, of any node.
	kept  map[msg.Key]*keptPage
	order []*keptPage // as they were kept, dropped ones included
	bytes int64
}

// flight is one read under way.
type flight struct {
	node string
	key  msg.Key
	from uint64
	to   msg.Opt[uint64]
	// current: nothing newer has become known since it was sent.
	current bool

	// The fields below are the shell's. ctx and cancel end the read. done is nil until
	// another caller joins, and closed at the end. page and err are the outcome.
	ctx    context.Context
	cancel func()
	done   chan struct{}
	page   *page
	err    error
}

// page is an answer that is shared, and so read-only.
type page struct {
	node    string
	key     msg.Key
	from    uint64
	to      msg.Opt[uint64]
	batches []msg.Batch
	next    msg.Opt[uint64]
}

type keptPage struct {
	page  *page // nil once dropped
	key   msg.Key
	size  int64
	until time.Time
}

func newPages() pages {
	return pages{flights: make(map[msg.Key][]*flight), kept: make(map[msg.Key]*keptPage)}
}

// lookup returns a page or a flight that answers the read, or the flight to send,
// fresh. exact asks for that range and no other.
func (p *pages) lookup(node string, key msg.Key, from uint64, to msg.Opt[uint64], exact bool) (hit *page, f *flight, fresh bool) {
	if kept := p.kept[key]; kept != nil {
		if k := kept.page; k.node == node && k.from == from && (k.to == to || !exact && k.answers(to)) {
			return k, nil, false
		}
	}
	for _, f := range p.flights[key] {
		if f.node == node && f.from == from && (f.to == to || !exact && reaches(f.to, to)) {
			return nil, f, false
		}
	}
	if !exact {
		to = rounded(from, to)
	}
	f = &flight{node: node, key: key, from: from, to: to, current: true}
	p.flights[key] = append(p.flights[key], f)
	return nil, f, true
}

// reaches reports whether a read up to far answers one up to near. An open end answers
// only itself, and so does an empty range, which asks for the floor.
func reaches(far, near msg.Opt[uint64]) bool {
	return far.Set && near.Set && near.Value > 0 && far.Value >= near.Value
}

// rounded moves the end of a range up to the next multiple of a quarter of the power of
// two below its length, so that ranges that differ by little become one: subscribers
// choose lengths by the sizes each of them has seen. page.upTo cuts off the surplus.
func rounded(from uint64, to msg.Opt[uint64]) msg.Opt[uint64] {
	if !to.Set || to.Value < from || to.Value-from < exactSpan {
		return to
	}
	span := to.Value - from
	step := uint64(1) << (bits.Len64(span) - 3)
	up := from + (span+step-1)/step*step
	if up < to.Value {
		return to
	}
	return msg.Some(up)
}

// answers reports whether the page shows all that a read up to another version would.
// A node that cut the page short beyond that version has not looked for the rest, such
// as a later life's first batch.
func (k *page) answers(to msg.Opt[uint64]) bool {
	return k.to == to || reaches(k.to, to) && (!k.next.Set || k.next.Value <= to.Value)
}

// upTo returns the page as a read up to a version would have shown it.
func (k *page) upTo(to msg.Opt[uint64]) *msg.ReadResponse {
	r := &msg.ReadResponse{Batches: k.batches, NextVersion: k.next}
	if k.to == to {
		return r
	}
	over := func(i int) bool { return k.batches[i].Version > to.Value }
	if k.ascends() {
		n := sort.Search(len(k.batches), over)
		r.Batches = k.batches[:n:n]
		return r
	}
	r.Batches = nil
	for i := range k.batches {
		if !over(i) {
			r.Batches = append(r.Batches, k.batches[i])
		}
	}
	return r
}

func (k *page) ascends() bool {
	for i := 1; i < len(k.batches); i++ {
		if k.batches[i].Version <= k.batches[i-1].Version {
			return false
		}
	}
	return true
}

// invalidate keeps the present page and reads of an aggregate from later callers.
func (p *pages) invalidate(key msg.Key) {
	if k := p.kept[key]; k != nil {
		p.drop(k)
	}
	for _, f := range p.flights[key] {
		f.current = false
	}
	delete(p.flights, key)
}

// invalidateAll does so for all aggregates.
func (p *pages) invalidateAll() {
	for _, flights := range p.flights {
		for _, f := range flights {
			f.current = false
		}
	}
	clear(p.flights)
	clear(p.kept)
	p.order, p.bytes = nil, 0
}

// complete takes a flight's page, nil if it failed, and keeps it for subscribers that
// can know of nothing newer. A subscriber that sees this answer knows of something
// newer than the moment when every other read of the aggregate was asked for.
func (p *pages) complete(now time.Time, f *flight, k *page) {
	current := f.current
	p.invalidate(f.key)
	if !current || k == nil || k.next.Set || !k.ascends() {
		return // a subscriber asks for an odd page again to see something else
	}
	kept := &keptPage{page: k, key: k.key, size: sizeOf(k.batches), until: now.Add(pageLife)}
	if kept.size > pagesBytes/4 {
		return
	}
	p.kept[k.key] = kept
	p.order = append(p.order, kept)
	p.bytes += kept.size
	for p.bytes > pagesBytes || len(p.order) > pagesCount {
		p.dropOldest()
	}
}

// sizeOf is what batches take, about.
func sizeOf(batches []msg.Batch) int64 {
	const perBatch, perEvent = 128, 112
	n := int64(perBatch)
	for i := range batches {
		n += perBatch
		for j := range batches[i].Events {
			n += perEvent + int64(len(batches[i].Events[j].Value))
		}
	}
	return n
}

// abandon forgets a flight that no subscriber waits for any more.
func (p *pages) abandon(f *flight) {
	f.current = false
	kept := p.flights[f.key][:0]
	for _, other := range p.flights[f.key] {
		if other != f {
			kept = append(kept, other)
		}
	}
	if len(kept) == 0 {
		delete(p.flights, f.key)
		return
	}
	p.flights[f.key] = kept
}

// drop frees a page; its place in the order goes with the older ones.
func (p *pages) drop(k *keptPage) {
	delete(p.kept, k.key)
	p.bytes -= k.size
	k.page = nil
}

func (p *pages) dropOldest() {
	k := p.order[0]
	p.order[0] = nil
	p.order = p.order[1:]
	if p.kept[k.key] == k {
		p.drop(k)
	}
}

// expire drops the pages that were kept for pageLife.
func (p *pages) expire(now time.Time) {
	for len(p.order) > 0 && !now.Before(p.order[0].until) {
		p.dropOldest()
	}
	if len(p.order) == 0 {
		p.order = nil
	}
}

// expiry is when the first page expires, zero if there is none.
func (p *pages) expiry() time.Time {
	if len(p.order) == 0 {
		return time.Time{}
	}
	return p.order[0].until
}
