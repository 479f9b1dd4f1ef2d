package pool

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	// readBuffer holds a small answer whole, so that it costs one system call.
	readBuffer = 8 << 10
	// trustedLength is the longest body for which memory is taken on the word
	// of its header; beyond it the buffer grows as bytes arrive.
	trustedLength = 1 << 20
)

// conn is one connection: one exchange at a time, owned by whoever leased it.
type conn struct {
	nc      net.Conn
	in      *bufio.Reader
	probe   probe
	address string
	version wire.Version
	coder   *wire.Coder // nil: nothing is compressed

	maxRequest, maxResponse uint32

	// broken: the place in the byte stream is unknown, or the deadline may
	// still be changed by a context; the connection must not be used again.
	broken bool
	// reused: the connection had an exchange before, so it may have died since.
	reused bool
	// home is the shard its last request went to.
	home home
	// moved: it was at another shard before.
	moved bool
	// idleSince is when it was given back.
	idleSince time.Time
	// cause is set before the connection is closed from outside.
	cause     atomic.Pointer[error]
	interrupt func()
}

func newConn(nc net.Conn, o *Options) *conn {
	c := &conn{
		nc:          nc,
		in:          bufio.NewReaderSize(nc, readBuffer),
		probe:       newProbe(nc),
		address:     o.Address,
		version:     wire.Version(o.ProtocolVersion),
		maxRequest:  uint32(o.MaxRequestSize),
		maxResponse: uint32(o.MaxResponseSize),
	}
	c.interrupt = func() { c.nc.SetDeadline(longAgo) }
	return c
}

// usable reports whether an idle connection can take another request. Whatever
// has arrived behind the last answer is no answer to anybody.
func (c *conn) usable() bool { return c.in.Buffered() == 0 && c.probe.usable() }

// kill closes the connection under the feet of its user, who will see cause.
func (c *conn) kill(cause error) {
	c.cause.CompareAndSwap(nil, &cause)
	c.nc.Close()
}

// exchange sends req and returns the answer. sent tells whether a byte of the
// request was handed to the network. A *msg.ServerError leaves the connection
// in order (unless its code closes it), any other failure after sending breaks it.
func (c *conn) exchange(ctx context.Context, req msg.Request, timeout time.Duration) (resp msg.Response, sent bool, err error) {
	buffer := getBuffer()
	frame, err := wire.AppendRequest((*buffer)[:0], c.version, plain(req), c.coder, c.maxRequest)
	defer func() { putBuffer(buffer, frame) }()
	if err != nil {
		return nil, false, encodeError(err)
	}
	if ctx.Err() != nil {
		return nil, false, ended(ctx)
	}
	if err := c.nc.SetDeadline(time.Now().Add(timeout)); err != nil {
		c.broken = true
		return nil, false, c.explain(ctx, transportError(err), timeout)
	}
	stop := c.guard(ctx)
	resp, sent, err = c.transact(frame, req)
	if !stop() {
		// The interruption has begun and may set its deadline at any time.
		c.broken = true
	}
	if err != nil {
		err = c.explain(ctx, err, timeout)
	}
	return resp, sent, err
}

// guard makes the end of ctx interrupt reads and writes; the result undoes it
// and reports whether it came in time.
func (c *conn) guard(ctx context.Context) func() bool {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, c.interrupt)
}

// transact is one request and its answer.
func (c *conn) transact(frame []byte, req msg.Request) (msg.Response, bool, error) {
	c.broken = true // until the answer is read to its end
	n, err := c.nc.Write(frame)
	if err != nil {
		return nil, n > 0, transportError(err)
	}
	resp, err := c.receive(req)
	if err != nil {
		return nil, true, err
	}
	if watching, ok := resp.(*msg.WatchResponse); ok {
		c.broken = false // frames may follow at once
		return watching, true, nil
	}
	if resp.Correlation() != req.Correlation() {
		return nil, true, violation("%v carries correlation id %v, request %v", resp.ResponseType(), resp.Correlation(), req.Correlation())
	}
	if refusal, ok := resp.(*msg.ErrorResponse); ok {
		c.broken = closesConnection(refusal.Code)
		return nil, true, msg.NewServerError(refusal, c.address)
	}
	c.broken = false
	return resp, true, nil
}

// receive reads and decodes the frame that should answer req.
func (c *conn) receive(req msg.Request) (msg.Response, error) {
	ahead, err := c.nextHeader()
	if err != nil {
		return nil, err
	}
	if msg.ResponseType(ahead.Type) == msg.TypeReadResponse && req.RequestType() == msg.TypeReadRequest {
		if r, ok := req.(*pageRequest); ok {
			return c.receivePage(ahead, r.page)
		}
		return c.receiveOwned(ahead)
	}
	buffer := getBuffer()
	header, body, err := wire.ReadResponseFrame(c.in, c.maxResponse, c.coder, *buffer)
	defer func() { putBuffer(buffer, body) }()
	if err != nil {
		return nil, transportError(err)
	}
	kind := msg.ResponseType(header.Type)
	if kind != answerTo(req.RequestType()) && kind != msg.TypeErrorResponse {
		return nil, violation("%v answers %v", kind, req.RequestType())
	}
	resp, err := wire.DecodeResponse(header.Version, kind, body)
	if err != nil {
		return nil, violation("%w", err)
	}
	if identity, ok := resp.(*msg.IdentifyResponse); ok {
		identity.DictBytes = append([]byte(nil), identity.DictBytes...) // the body goes back to the buffers
	}
	return resp, nil
}

// receiveOwned reads a page whose memory nothing else uses.
func (c *conn) receiveOwned(ahead wire.Header) (msg.Response, error) {
	page := ownedPages.Get().(*Page)
	page.decoded = wire.ReadPage{}
	if _, err := c.receivePage(ahead, page); err != nil {
		return nil, err
	}
	page.own(page.decoded.Batches)
	resp := page.decoded.ReadResponse
	page.decoded = wire.ReadPage{}
	page.free(&ownedPages)
	return &resp, nil
}

// receivePage reads a page into memory the caller keeps.
func (c *conn) receivePage(ahead wire.Header, page *Page) (msg.Response, error) {
	header, body, err := wire.ReadResponseFrame(c.in, c.maxResponse, c.coder, page.room(int(ahead.CompressedLength)))
	if err != nil {
		return nil, transportError(err)
	}
	page.body = body
	if err := wire.DecodeRead(header.Version, body, &page.decoded); err != nil {
		return nil, violation("%w", err)
	}
	return &page.decoded.ReadResponse, nil
}

// nextHeader waits for a frame and returns its header without consuming it.
func (c *conn) nextHeader() (wire.Header, error) {
	head, err := c.in.Peek(wire.HeaderSize)
	if speaksTLS(head) {
		return wire.Header{}, &tlsError{what: "the node answers in TLS"}
	}
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return wire.Header{}, transportError(err)
	}
	header, err := wire.ParseHeader(head)
	if err != nil {
		return wire.Header{}, violation("%w", err)
	}
	return header, nil
}

// explain replaces the marks of an interruption by what caused it.
func (c *conn) explain(ctx context.Context, err error, timeout time.Duration) error {
	var refusal *msg.ServerError
	if errors.As(err, &refusal) || errors.Is(err, ErrProtocol) {
		return err
	}
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return &timeoutError{ErrRequestTimeout, timeout}
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
