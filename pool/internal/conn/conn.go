package conn

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

// readBuffer holds a small answer whole, so that it costs one system call.
const readBuffer = 8 << 10

// Conn is one connection. All methods but Kill and Close are for one goroutine at a time.
type Conn struct {
	opener   *Opener
	nc       net.Conn
	in       *bufio.Reader
	deadline deadline
	probe    probe
	coder    *sharedCoder // nil: nothing is compressed
	secret   string       // the API key, which no error must repeat
	// exchanged: a request was answered, or need not be before the next one is sent.
	exchanged bool

	broken atomic.Bool
	cause  atomic.Pointer[error] // set before the connection is closed from outside
	closed atomic.Bool
	body   []byte // of the latest frame of a watch, used again
}

func newConn(nc net.Conn, o *Opener) *Conn {
	c := &Conn{opener: o, nc: nc, probe: newProbe(nc)}
	c.deadline.init(nc)
	c.exchanged = o.config.TLS == nil
	c.in = bufio.NewReaderSize(&c.deadline, readBuffer)
	return c
}

// Node returns the address of the node.
func (c *Conn) Node() string { return c.opener.config.Address }

// Usable reports whether an idle connection can take another request.
func (c *Conn) Usable() bool { return c.AtRest() && c.Open() }

// AtRest reports whether an idle connection was left in order. Bytes behind the last answer
// answer no request.
func (c *Conn) AtRest() bool { return !c.Broken() && c.in.Buffered() == 0 }

// Open asks the operating system whether the node has neither closed an idle connection nor
// sent anything.
func (c *Conn) Open() bool { return c.probe.usable() }

// Broken reports whether the connection must not be used again: the place in the
// byte stream is unknown, the node closes it, or its deadline may still be changed
// by a context.
func (c *Conn) Broken() bool { return c.broken.Load() }

// Kill closes the socket while somebody may use the connection, who will see cause.
// Its user still calls Close.
func (c *Conn) Kill(cause error) {
	c.cause.CompareAndSwap(nil, &cause)
	c.nc.Close()
}

// Close closes the connection and gives back what it shares. Its user calls it last,
// and nobody else does. Close may be called again.
func (c *Conn) Close() {
	c.broken.Store(true)
	c.nc.Close()
	c.deadline.release()
	if !c.closed.Swap(true) {
		c.opener.config.Dictionaries.release(c.coder)
	}
}

// Do sends a request and returns the answer, and what is known of the attempt. A
// refusal by the node leaves the connection in order, unless its code closes it; any
// other failure after sending breaks it. The answer has at most timeout to begin, and
// must go on to come: 16 KiB in each timeout.
func (c *Conn) Do(ctx context.Context, req msg.Request, timeout time.Duration) (msg.Response, Attempt) {
	a := Attempt{Node: c.Node(), Operation: req.RequestType(), Connected: true}
	began := time.Now()
	resp, err := c.exchange(ctx, req, timeout, &a.Sent)
	a.Duration, a.Err = time.Since(began), err
	a.Settle()
	return resp, a
}

func (c *Conn) exchange(ctx context.Context, req msg.Request, timeout time.Duration, sent *bool) (resp msg.Response, err error) {
	config := &c.opener.config
	req.SetCorrelation(msg.Some(config.IDs.Next()))
	buffer := getBuffer()
	frame, err := wire.AppendRequest((*buffer)[:0], config.Version, plain(req), c.coder.codec(), config.MaxRequest)
	defer func() { putBuffer(buffer, frame) }()
	if err != nil {
		return nil, encodeError(err)
	}
	if ctx.Err() != nil {
		return nil, Ended(ctx)
	}
	stop := c.begin(ctx, timeout)
	resp, err = c.transact(ctx, frame, req, sent)
	if !c.end(stop) {
		c.broken.Store(true)
	}
	if err != nil {
		err = c.explain(ctx, err, timeout)
	}
	return resp, err
}

// begin makes the timeout and the end of ctx interrupt reads and writes, until end is given
// the result.
func (c *Conn) begin(ctx context.Context, timeout time.Duration) (stop func() bool) {
	c.deadline.begin(timeout)
	if ctx.Done() == nil {
		return nil
	}
	return context.AfterFunc(ctx, c.deadline.interrupt)
}

// end ends what begin has begun, and reports whether that came in time: otherwise the socket
// has a deadline, or may get one at any time.
func (c *Conn) end(stop func() bool) bool {
	left := stop == nil || stop()
	return c.deadline.end() && left
}

// OnHalfway has halfway called, on another goroutine, when half of the timeout of an exchange
// has passed without progress. Set it before the first exchange.
func (c *Conn) OnHalfway(halfway func()) { c.deadline.halfway.Store(&halfway) }

// transact is one request and its answer.
func (c *Conn) transact(ctx context.Context, frame []byte, req msg.Request, sent *bool) (msg.Response, error) {
	c.broken.Store(true) // until the answer is read to its end
	n, err := c.deadline.writeAll(frame)
	*sent = n > 0
	if err != nil {
		return nil, transportError(err)
	}
	resp, err := c.receive(ctx, req)
	if err != nil {
		return nil, err
	}
	c.exchanged = true
	if watching, ok := resp.(*msg.WatchResponse); ok {
		c.broken.Store(false) // frames may follow at once
		return watching, nil
	}
	if resp.Correlation() != req.Correlation() {
		return nil, Violation("%v carries correlation id %v, request %v", resp.ResponseType(), resp.Correlation(), req.Correlation())
	}
	if refusal, ok := resp.(*msg.ErrorResponse); ok {
		c.broken.Store(closesConnection(refusal.Code))
		return nil, c.refusal(refusal)
	}
	c.broken.Store(false)
	return resp, nil
}

// explain maps the error of an interrupted exchange to its cause: whoever closed the
// connection, the end of the context, or the timeout.
func (c *Conn) explain(ctx context.Context, err error, timeout time.Duration) error {
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
		return Ended(ctx)
	}
	return &TimeoutError{Sentinel: ErrRequestTimeout, After: timeout}
}

// nextHeader waits for a frame and returns its header without consuming it.
func (c *Conn) nextHeader() (wire.Header, error) {
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
		return wire.Header{}, Violation("%w", err)
	}
	return header, nil
}
