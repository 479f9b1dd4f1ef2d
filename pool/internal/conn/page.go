package conn

import (
	"bytes"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// trustedLength is the longest body for which memory is taken on the word
// of its header; beyond it the buffer grows as bytes arrive.
const trustedLength = 1 << 20

// Page is the memory of a read answer, which the next read into it uses again.
type Page struct {
	decoded wire.ReadPage
	body    []byte
	values  [][]byte // of the events, while they move
}

// PageRequest is a read that brings the memory for its answer.
type PageRequest struct {
	msg.ReadRequest
	Page *Page
}

// plain is the request as it goes out.
func plain(req msg.Request) msg.Request {
	if r, ok := req.(*PageRequest); ok {
		return &r.ReadRequest
	}
	return req
}

// Response is the answer that was read last.
func (p *Page) Response() *msg.ReadResponse { return &p.decoded.ReadResponse }

// Weight is the size of the answer in bytes, as it was encoded.
func (p *Page) Weight() int { return len(p.body) }

// room returns empty memory for a body of so many bytes. One that has to grow
// grows well, since events of earlier answers keep the bodies before it alive.
func (p *Page) room(bytes int) []byte {
	if bytes > cap(p.body) && bytes <= trustedLength {
		p.body = make([]byte, 0, max(bytes, min(2*cap(p.body), trustedLength), wire.HeaderSize))
	}
	return p.body[:0]
}

// Own moves the payloads of batches of the page into memory of their own and lets
// go of the events, so that what uses the page next leaves them alone. A large
// body is given away as it is.
func (p *Page) Own(batches []msg.Batch) {
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

// Forget lets go of the events that were given away, and reports whether the page is
// worth keeping for another answer.
func (p *Page) Forget() bool {
	clear(p.decoded.Batches) // they refer to what was given away
	return p.keepable()
}

// keepable reports whether the page is small enough to be kept.
func (p *Page) keepable() bool { return cap(p.body) <= keptBuffer }

// Keepable reports whether the page is worth keeping for another answer, events and all.
func (p *Page) Keepable() bool { return p.keepable() }
