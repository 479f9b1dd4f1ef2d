package pool

import (
	"bytes"
	"context"
	"sync"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// Page is a read answer whose memory the next ReadInto uses again. The zero
// Page is ready for use. It belongs to one goroutine at a time, and keeps
// memory for the largest answer it has held.
type Page struct {
	msg.ReadResponse
	decoded wire.ReadPage
	body    []byte
	values  [][]byte // of the events, while they move
}

// ReadInto is Read into a page: once the page has held an answer as large,
// reading allocates nothing for batches, events and payloads. All of them
// are valid until the next ReadInto into the page; [msg.Batch.Clone] keeps a
// batch for longer. After an error the page is empty. Use Read for what is kept.
func (o *operations) ReadInto(ctx context.Context, req *msg.ReadRequest, page *Page) error {
	page.ReadResponse = msg.ReadResponse{}
	r := pageRequest{ReadRequest: *req, page: page}
	r.Filters.From = max(r.Filters.From, 1)
	_, err := o.via.perform(ctx, msg.Some(r.Key), &r)
	if err == nil {
		page.ReadResponse = page.decoded.ReadResponse
	}
	return err
}

// pageRequest is a read that brings the memory for its answer.
type pageRequest struct {
	msg.ReadRequest
	page *Page
}

// plain is the request as it goes out.
func plain(req msg.Request) msg.Request {
	if r, ok := req.(*pageRequest); ok {
		return &r.ReadRequest
	}
	return req
}

// room returns empty memory for a body of so many bytes. One that has to grow
// grows well, since events of earlier answers keep the bodies before it alive.
func (p *Page) room(bytes int) []byte {
	if bytes > cap(p.body) && bytes <= trustedLength {
		p.body = make([]byte, 0, max(bytes, min(2*cap(p.body), trustedLength), wire.HeaderSize))
	}
	return p.body[:0]
}

// own moves the payloads of batches of the page into memory of their own and lets
// go of the events, so that what uses the page next leaves them alone. A large
// body is given away as it is.
func (p *Page) own(batches []msg.Batch) {
	if p.decoded = (wire.ReadPage{ReadResponse: p.decoded.ReadResponse}); cap(p.body) > keptBuffer {
		p.body = nil
		return
	}
	values := p.values[:0]
	for i := range batches {
		for j := range batches[i].Events {
			values = append(values, batches[i].Events[j].Value)
		}
	}
	block := bytes.Join(values, nil) // which, unlike make, does not clear what it fills
	for i := range batches {
		for j := range batches[i].Events {
			value := &batches[i].Events[j].Value
			n := len(*value)
			*value, block = block[:n:n], block[n:]
		}
	}
	clear(values)
	p.values = values
}

// Pages that were read into and are free again: lent ones keep their events for
// the next answer, owned ones have given them away.
var lentPages, ownedPages = sync.Pool{New: newPage}, sync.Pool{New: newPage}

func newPage() any { return new(Page) }

// free takes back a page of which nothing is used any more but what own moved.
func (p *Page) free(to *sync.Pool) {
	if cap(p.body) > keptBuffer {
		return
	}
	if to == &ownedPages {
		clear(p.decoded.Batches) // they refer to what was given away
	}
	p.ReadResponse = msg.ReadResponse{}
	to.Put(p)
}
