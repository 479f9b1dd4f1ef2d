package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// conn is one client connection. Its goroutine owns everything but end: it
// reads a request, executes it, writes the answer, and only then reads the
// next (server semantics 1.2). A watch adds one goroutine, see watching.
type conn struct {
	server *Server
	run    *Run
	number int
	raw    net.Conn        // what was accepted
	socket net.Conn        // the same, or TLS around it
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	in      *bufio.Reader
	body    []byte // the request's, reused
	out     []byte // the answer's frame, reused
	framesI int
	framesO int
	mute    bool // a stalled answer: nothing is written any more

	compress bool                     // the client has the dictionary
	client   msg.Opt[msg.ID]          // proven
	access   msg.Opt[msg.AccessLevel] // of the API key
	shard    uint64                   // that the connection was last moved to
}

// inbound is a request as it arrived.
type inbound struct {
	version wire.Version
	request msg.Request
	// doomed: the interceptor cuts the connection once it is executed.
	doomed bool
}

// maxKeptBuffer is how large a buffer a connection keeps for its next frame.
const maxKeptBuffer = 1 << 20

// errEnded ends a connection without anything having gone wrong.
var errEnded = errors.New("the connection has ended")

func newConn(r *Run, socket net.Conn) *conn {
	c := &conn{server: r.server, run: r, number: int(r.server.connections.Add(1)), raw: socket, socket: r.server.wrap(socket)}
	c.ctx, c.cancel = context.WithCancel(r.ctx)
	c.in = bufio.NewReaderSize(patient{c}, 16<<10)
	c.shard = uint64(c.number-1) % c.server.Router.Shards
	return c
}

// end closes the connection and wakes its goroutines; any goroutine may call
// it, any number of times.
func (c *conn) end() {
	c.cancel()
	// Without a farewell, which could wait for a client that does not read.
	_ = c.raw.Close() // the connection is given up: no error changes that
}

// serve answers requests until the connection ends.
func (c *conn) serve() {
	if !c.shakeHands() {
		return
	}
	for first := true; ; first = false {
		in, err := c.receive()
		if err != nil {
			return
		}
		if err := c.handle(in, first); err != nil {
			return
		}
	}
}

// patient reads from the socket; a time-out that fires while the node is
// paused counts anew from the end of the pause.
type patient struct{ *conn }

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.socket.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || p.server.Paused.closed() == nil {
			return n, err
		}
		if !p.server.Paused.pass(p.ctx) {
			return 0, err
		}
		p.setReadDeadline(p.server.Limits.IdleTimeout)
	}
}

// setReadDeadline starts the read time-out; 0 lifts it. An error means that the
// connection is closed, which the next read reports.
func (c *conn) setReadDeadline(d time.Duration) {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	_ = c.socket.SetReadDeadline(at)
}

// receive reads requests until the interceptor lets one pass. A frame that
// is no request ends the connection without a word (protocol section 3).
func (c *conn) receive() (inbound, error) {
	for {
		in, again, err := c.receiveOne()
		if err != nil || !again {
			return in, err
		}
	}
}

func (c *conn) receiveOne() (in inbound, again bool, err error) {
	c.setReadDeadline(c.server.Limits.IdleTimeout)
	// Wait for the frame to begin before asking: an interceptor set while the
	// connection is idle sees what comes next.
	if _, err := c.in.Peek(1); err != nil {
		return inbound{}, false, err
	}
	intercepted := c.server.Interceptor.Load() != nil
	source, raw := io.Reader(c.in), (*bytes.Buffer)(nil)
	if intercepted {
		raw = new(bytes.Buffer)
		source = io.TeeReader(c.in, raw)
	}
	in, size, err := c.readRequest(source)
	if err != nil {
		return inbound{}, false, err
	}
	c.server.Counters.request(in.request.RequestType(), size)
	if !c.server.Paused.pass(c.ctx) {
		return inbound{}, false, errEnded
	}
	c.framesI++
	if !intercepted {
		return in, false, nil
	}
	return c.intercepted(in, raw.Bytes())
}

func (c *conn) readRequest(source io.Reader) (inbound, int, error) {
	if cap(c.body) > maxKeptBuffer {
		c.body = nil
	}
	h, body, err := wire.ReadRequestFrame(source, c.server.Limits.MaxRequestSize, c.server.Coder, c.body)
	if err != nil {
		return inbound{}, 0, err
	}
	c.body = body
	req, err := wire.DecodeRequest(h.Version, msg.RequestType(h.Type), body)
	if err != nil {
		return inbound{}, 0, err
	}
	return inbound{version: h.Version, request: req}, wire.HeaderSize + int(h.CompressedLength), nil
}

// intercepted applies the interceptor's verdict on a request whose bytes are raw.
func (c *conn) intercepted(in inbound, raw []byte) (_ inbound, again bool, _ error) {
	v := c.server.judge(&Frame{
		Conn: c.number, Number: c.framesI, Version: int(in.version), Size: len(raw), Request: in.request,
	})
	switch v.Action {
	case Delay:
		if !replica.Pause(c.ctx, v.Delay) {
			return inbound{}, false, errEnded
		}
	case Drop:
		return inbound{}, true, nil
	case Cut:
		if v.N == 0 || v.N < len(raw) {
			return inbound{}, false, c.cut()
		}
		in.doomed = true
	case Corrupt:
		raw[v.N%len(raw)] ^= 0xff
		in, _, err := c.readRequest(io.MultiReader(bytes.NewReader(raw), c.in))
		return in, false, err
	case Answer, Raw:
		return inbound{}, true, c.answerInstead(in, v)
	case Stall:
		return inbound{}, false, c.swallow()
	}
	return in, false, nil
}

// answerInstead sends what the interceptor wants the client to get for a
// request that is not executed.
func (c *conn) answerInstead(in inbound, v Verdict) error {
	if v.Action == Raw {
		return c.write(v.Raw, 1)
	}
	answer := correlated(v.Answer, in.request.Correlation())
	frame, err := wire.AppendResponse(c.out[:0], in.version, answer, c.responseCoder(), 0)
	if err != nil {
		return err
	}
	if err := c.write(frame, 1); err != nil {
		return err
	}
	if failure, ok := answer.(*msg.ErrorResponse); ok && endsConnection(failure.Code) {
		return errEnded
	}
	return nil
}

// swallow reads and forgets until the client closes: the far side of a
// connection that is open one way only.
func (c *conn) swallow() error {
	c.setReadDeadline(0)
	_, _ = io.Copy(io.Discard, c.in)
	return errEnded
}

// cut ends the connection on an interceptor's behalf.
func (c *conn) cut() error {
	c.server.Counters.Cuts.Add(1)
	c.end()
	return errEnded
}

// endsConnection tells which errors are followed by a close. Server semantics 10.
func endsConnection(code msg.Code) bool {
	switch code {
	case msg.CodeNonce, msg.CodeSignature, msg.CodeIdentityRequired, msg.CodeAPIKeyRequired, msg.CodeAPIKeyInvalid,
		msg.CodeWatchLatency, msg.CodeWatchSubscribers, msg.CodeWatchIO, msg.CodeWatchSerialise, msg.CodeWatchOther:
		return true
	}
	return false
}
