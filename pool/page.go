package pool

import (
	"context"

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
}

// ReadInto is Read into a page: once the page has held an answer as large,
// reading allocates nothing for batches, events and payloads. All of them
// are valid until the next ReadInto into the page; [msg.Batch.Clone] keeps a
// batch for longer. After an error the page is empty. Use Read for what is kept.
func (o *operations) ReadInto(ctx context.Context, req *msg.ReadRequest, page *Page) error {
	page.ReadResponse = msg.ReadResponse{}
	_, err := o.readPage(ctx, req, page)
	if err == nil {
		page.ReadResponse = page.decoded.ReadResponse
	}
	return err
}

func (o *operations) readPage(ctx context.Context, req *msg.ReadRequest, page *Page) (*msg.ReadResponse, error) {
	r := pageRequest{ReadRequest: *req, page: page}
	r.Filters.From = max(r.Filters.From, 1)
	return answer[*msg.ReadResponse](o.via.perform(ctx, msg.Some(r.Key), &r))
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

// pageOf is the memory for the answer to req.
func pageOf(req msg.Request) *Page {
	if r, ok := req.(*pageRequest); ok {
		return r.page
	}
	return new(Page)
}
