package conn

import (
	"context"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// receive reads and decodes the frame that should answer req.
func (c *Conn) receive(ctx context.Context, req msg.Request) (msg.Response, error) {
	ahead, err := c.nextHeader()
	if err != nil {
		return nil, err
	}
	if size := max(ahead.CompressedLength, ahead.UncompressedLength); size > trustedLength && size <= c.opener.config.MaxResponse {
		release, err := c.opener.config.Memory.take(ctx, int64(size), time.Duration(c.deadline.timeout.Load()))
		if err != nil {
			return nil, err
		}
		defer release()
		c.deadline.again() // the node was not waited for
	}
	if msg.ResponseType(ahead.Type) == msg.TypeReadResponse && req.RequestType() == msg.TypeReadRequest {
		if r, ok := req.(*PageRequest); ok {
			return c.receivePage(ahead, r.Page)
		}
		return c.receiveOwned(ahead)
	}
	limit := c.opener.config.MaxResponse
	if req.RequestType() == msg.TypeIdentifyRequest {
		limit = min(limit, largestIdentify)
	}
	buffer := getBuffer()
	header, body, err := wire.ReadResponseFrame(c.in, limit, c.coder.codec(), *buffer)
	defer func() { putBuffer(buffer, body) }()
	if err != nil {
		return nil, transportError(err)
	}
	kind := msg.ResponseType(header.Type)
	if kind != answerTo(req.RequestType()) && kind != msg.TypeErrorResponse {
		return nil, Violation("%v answers %v", kind, req.RequestType())
	}
	resp, err := wire.DecodeResponse(header.Version, kind, body)
	if err != nil {
		return nil, decodeError(err)
	}
	if identity, ok := resp.(*msg.IdentifyResponse); ok {
		identity.DictBytes = append([]byte(nil), identity.DictBytes...) // the body goes back to the buffers
	}
	return resp, nil
}

// ownedPages are pages that were read into, and whose events were given away.
var ownedPages = sync.Pool{New: func() any { return new(Page) }}

// receiveOwned reads a page whose memory nothing else uses.
func (c *Conn) receiveOwned(ahead wire.Header) (msg.Response, error) {
	page := ownedPages.Get().(*Page)
	page.decoded = wire.ReadPage{}
	if _, err := c.receivePage(ahead, page); err != nil {
		return nil, err
	}
	page.Own(page.decoded.Batches)
	resp := page.decoded.ReadResponse
	page.decoded = wire.ReadPage{}
	if page.keepable() {
		ownedPages.Put(page)
	}
	return &resp, nil
}

// receivePage reads a page into memory the caller keeps.
func (c *Conn) receivePage(ahead wire.Header, page *Page) (msg.Response, error) {
	header, body, err := wire.ReadResponseFrame(c.in, c.opener.config.MaxResponse, c.coder.codec(), page.room(int(ahead.CompressedLength)))
	if err != nil {
		return nil, transportError(err)
	}
	page.body = body
	if err := wire.DecodeRead(header.Version, body, &page.decoded); err != nil {
		return nil, decodeError(err)
	}
	return &page.decoded.ReadResponse, nil
}

// closesConnection reports whether the node closes after answering code.
// Protocol section 2.2.
func closesConnection(code msg.Code) bool {
	switch code {
	case msg.CodeIdentityRequired, msg.CodeNonce, msg.CodeSignature, msg.CodeAPIKeyRequired, msg.CodeAPIKeyInvalid,
		msg.CodeWatchLatency, msg.CodeWatchSubscribers, msg.CodeWatchIO, msg.CodeWatchSerialise, msg.CodeWatchOther:
		return true
	}
	return false
}

// answerTo is the response type that answers a request type. Protocol section 4.
func answerTo(t msg.RequestType) msg.ResponseType {
	switch t {
	case msg.TypeWatchRequest:
		return msg.TypeWatchResponse
	case msg.TypeListOrgsRequest:
		return msg.TypeListOrgsResponse
	case msg.TypeListTypesRequest:
		return msg.TypeListTypesResponse
	case msg.TypeListAggregatesRequest:
		return msg.TypeListAggregatesResponse
	case msg.TypeRegisterSchemaRequest:
		return msg.TypeRegisterSchemaResponse
	case msg.TypeIdentifyRequest:
		return msg.TypeIdentifyResponse
	}
	return msg.ResponseType(t) // 1 to 5 are numbered alike
}
