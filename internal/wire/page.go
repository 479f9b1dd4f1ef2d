package wire

import "github.com/celeriant/celeriant-go/msg"

// ReadPage is a read response whose memory is used again by the next DecodeRead
// into it: the slice of batches, and one arena that holds the events of all of
// them. The zero ReadPage is ready. A page belongs to one goroutine at a time.
type ReadPage struct {
	msg.ReadResponse
	arena []msg.Event
	known int // events of the last page that the arena was too small for
}

// DecodeRead decodes the body of a read response into a page. Once a page has
// seen its largest body, decoding allocates nothing.
//
// The page's former contents are overwritten, including batches a caller still
// refers to, and payloads alias body: both are valid until the next DecodeRead
// into the page, or until body is overwritten. [msg.Batch.Clone] keeps a batch
// for longer. A page keeps the last bodies it was filled from reachable.
//
// On an error, a *DecodeError, the page is empty. Bytes behind the message are
// ignored. Protocol section 7.2.
func DecodeRead(v Version, body []byte, into *ReadPage) error {
	if err := known(v, msg.TypeReadResponse.String()); err != nil {
		return err
	}
	c := reader(v, body)
	c.arena, c.known = into.arena[:0], into.known
	c.readResponse(&into.ReadResponse)
	if into.arena = c.arena; c.allotted > cap(c.arena) {
		into.known = c.allotted
	}
	if c.err == nil {
		return nil
	}
	into.ReadResponse = msg.ReadResponse{Batches: into.Batches[:0]}
	return c.failure(v, msg.TypeReadResponse.String())
}
