package pool

import (
	"context"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Page is a read answer whose memory the next ReadInto uses again. The zero
// Page is ready for use. A Page belongs to one goroutine at a time, and keeps
// memory for the largest answer it has held.
type Page struct {
	msg.ReadResponse
	memory conn.Page
}

// ReadInto is Read into a page: once the page has held an answer as large,
// reading allocates nothing for batches, events and payloads. All of them
// are valid until the next ReadInto into the page; [msg.Batch.Clone] keeps a
// batch for longer. After an error the page is empty. Use Read for what is kept.
func (o *operations) ReadInto(ctx context.Context, req *msg.ReadRequest, page *Page) error {
	switch {
	case req == nil:
		return invalid(msg.TypeReadRequest.String(), "the request is nil")
	case page == nil:
		return invalid(msg.TypeReadRequest.String(), "the page is nil")
	}
	return o.readInto(ctx, call{key: msg.Some(req.Key)}, req, page)
}

// readInto is ReadInto with a time of its own.
func (o *operations) readInto(ctx context.Context, c call, req *msg.ReadRequest, page *Page) error {
	page.ReadResponse = msg.ReadResponse{}
	r := &conn.PageRequest{ReadRequest: *req, Page: &page.memory}
	r.Filters.From = max(r.Filters.From, 1)
	c.req = r
	_, err := o.via.do(ctx, c)
	if err == nil {
		page.ReadResponse = *page.memory.Response()
	}
	return err
}

// Pages that were read into and are free again: lent ones keep their events for
// the next answer, owned ones have given them away.
var lentPages, ownedPages = sync.Pool{New: newPage}, sync.Pool{New: newPage}

func newPage() any { return new(Page) }

// free takes back a page of which nothing is used any more but what was given away.
func (p *Page) free(to *sync.Pool) {
	keep := p.memory.Keepable()
	if keep && to == &ownedPages {
		keep = p.memory.Forget()
	}
	if keep {
		p.ReadResponse = msg.ReadResponse{}
		to.Put(p)
	}
}
