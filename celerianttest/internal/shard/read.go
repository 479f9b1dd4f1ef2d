package shard

import (
	"fmt"
	"slices"
	"sort"

	"github.com/celeriant/celeriant-go/msg"
)

// Read answers one page (section 5). With quirks, answered is false when the
// page's only batch cannot be encoded within the response cap: the reference
// server says nothing then. Without quirks that batch is refused with
// CodeReadDataBlocks and a detail that names it.
//
// The batches of the response share the shard's memory, which never changes:
// they may be used without the caller's lock, but not modified.
func (s *Shard) Read(req *msg.ReadRequest) (resp *msg.ReadResponse, answered bool, no *Refusal) {
	h := s.view.lookup(req.Key, s.log)
	if h == nil || h.deleted {
		return nil, true, refuse(msg.CodeReadNotFound)
	}
	f := newFilter(&req.Filters)
	if f.from < h.min {
		return nil, true, refusal(msg.CodeVersionUnavailable, number("requested", f.from), number("minimum_available", h.min))
	}
	p := s.newPage(f)
	for _, span := range h.spans(f.from, s.options.Quirks) {
		if !p.take(span) {
			break
		}
	}
	if p.tooLarge != nil {
		if s.options.Quirks {
			return nil, false, nil
		}
		return nil, true, refusal(msg.CodeReadDataBlocks, text("detail",
			fmt.Sprintf("the batch of version %d exceeds the maximum response size of %d bytes",
				p.tooLarge.Batch.Version, s.options.MaxResponseSize)))
	}
	p.resp.Correlated = req.Correlated
	return p.resp, true, nil
}

// spans returns the runs of batches a read from a version is collected from,
// each ascending by version. Collecting goes backwards from the newest batch
// to the first version below from: never out of the current life for 2 and
// above, since a life begins at 1. For 1 it runs on into earlier lives, unless
// the read cache reaches back to the beginning of the life (section 4.3) or
// there are no quirks.
func (h *history) spans(from uint64, quirks bool) [][]*WriteEntry {
	current := h.currentLife()
	if !quirks || from > 1 || h.warm == current {
		return [][]*WriteEntry{h.batches[current:]}
	}
	spans := make([][]*WriteEntry, len(h.lives))
	for i, start := range h.lives {
		end := len(h.batches)
		if i+1 < len(h.lives) {
			end = h.lives[i+1]
		}
		spans[i] = h.batches[start:end]
	}
	return spans
}

// page collects batches until the response is full.
type page struct {
	filter   *filter
	quirks   bool
	budget   uint64
	used     uint64
	taken    int // batches that passed the batch-level filters
	resp     *msg.ReadResponse
	tooLarge *WriteEntry
}

// newPage's budget counts stored sizes under quirks, as the reference does,
// and wire sizes otherwise: only those keep a page of many small batches
// within the cap.
func (s *Shard) newPage(f *filter) *page {
	p := &page{filter: f, quirks: s.options.Quirks, budget: s.options.MaxResponseSize, resp: &msg.ReadResponse{}}
	if !p.quirks {
		p.used = replyOverhead
	}
	return p
}

func (p *page) cost(e *WriteEntry) uint64 {
	if p.quirks {
		return e.stored
	}
	return e.longest
}

// take adds what fits of a run of batches and reports whether there is room for more.
func (p *page) take(span []*WriteEntry) bool {
	first := sort.Search(len(span), func(i int) bool { return span[i].Batch.Version >= p.filter.from })
	span = span[first:]
	span = span[:sort.Search(len(span), func(i int) bool { return span[i].Batch.Version > p.filter.to })]
	p.resp.Batches = slices.Grow(p.resp.Batches, min(len(span), usualPage))
	for _, e := range span {
		if !p.filter.passes(&e.Batch) {
			continue
		}
		cost := p.cost(e)
		if p.taken > 0 && p.used+cost > p.budget {
			p.resp.NextVersion = msg.Some(e.Batch.Version)
			return false
		}
		p.used += cost
		p.taken++
		if !p.add(e) {
			return false
		}
	}
	return true
}

// usualPage is how many batches a page has room for at once, to save growing
// in steps.
const usualPage = 128

// add appends one batch, less the events that are filtered out. A page always
// takes one batch, so only the first can be too large.
func (p *page) add(e *WriteEntry) bool {
	if p.filter.narrows {
		kept := *e
		kept.Batch.Events = p.filter.events(e.Batch.Events)
		if len(kept.Batch.Events) == 0 {
			return true
		}
		kept.measure()
		e = &kept
	}
	if p.taken == 1 && p.exceeds(e) {
		p.tooLarge = e
		return false
	}
	p.resp.Batches = append(p.resp.Batches, e.Batch)
	return true
}

// exceeds tells whether a batch alone cannot be answered: under quirks when
// neither codec fits (the encoder finds out about the other), else when
// either does not.
func (p *page) exceeds(e *WriteEntry) bool {
	size := e.longest
	if p.quirks {
		size = e.shortest
	}
	return size+replyOverhead > p.budget
}
