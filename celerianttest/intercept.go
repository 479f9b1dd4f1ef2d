package celerianttest

import (
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/server"
	"github.com/celeriant/celeriant-go/msg"
)

// Direction says which way a frame travels.
type Direction uint8

// The directions.
const (
	ToNode   Direction = iota // a request
	ToClient                  // an answer, or a frame of a watch
)

// String returns "to node" or "to client".
func (d Direction) String() string {
	if d == ToNode {
		return "to node"
	}
	return "to client"
}

// Frame is what an interceptor is shown. The frame and everything it refers to
// are valid, and must not be changed, until the interceptor returns.
type Frame struct {
	// Conn is the number of the connection, from 1 in the order of accepting.
	Conn int
	// Direction says which of Request and Response is set.
	Direction Direction
	// Number counts the frames of this connection in this direction, from 1.
	Number int
	// Version is the protocol version, 2 or 3.
	Version int
	// Size is the length of the frame in bytes, header included.
	Size int
	// Request is the decoded request of a frame to the node.
	Request msg.Request
	// Response is the decoded response of a frame to the client.
	Response msg.Response
}

// Interceptor decides what happens to a frame. The goroutines of all
// connections call it, each for one frame at a time, so it must be safe for
// concurrent use; the frame waits until it returns. The interceptor must not
// call Kill, Restart or Close of the node, which wait for it.
type Interceptor func(*Frame) Verdict

// Verdict is what becomes of a frame. The zero Verdict lets it pass.
type Verdict struct{ verdict server.Verdict }

// Pass lets the frame through.
func Pass() Verdict { return Verdict{} }

// Delay lets the frame through after d, and everything behind it on the
// connection with it.
func Delay(d time.Duration) Verdict { return Verdict{server.Verdict{Action: server.Delay, Delay: d}} }

// Drop loses the frame: a request is not executed and gets no answer, an
// answer is executed but never sent. The connection stays usable.
func Drop() Verdict { return Verdict{server.Verdict{Action: server.Drop}} }

// CutBefore ends the connection before the frame: a request is not executed,
// of an answer nothing is sent.
func CutBefore() Verdict { return Verdict{server.Verdict{Action: server.Cut}} }

// CutAfter ends the connection after the first n bytes of the frame. Of an
// answer these are sent. A request is executed if it is complete by then, that
// is if n is at least its Size, and its answer is lost.
func CutAfter(n int) Verdict { return Verdict{server.Verdict{Action: server.Cut, N: max(n, 0)}} }

// Corrupt inverts the n-th byte of the frame, counted from 0 and modulo its
// Size, and lets it through: a request is read again from the changed bytes
// (and, if its length changed, from those that follow).
func Corrupt(n int) Verdict { return Verdict{server.Verdict{Action: server.Corrupt, N: max(n, 0)}} }

// Answer sends r instead: instead of executing a request, or in place of an
// answer. If r can carry a correlation id and has none, it gets the
// request's. An error that would end the connection ends it.
func Answer(r msg.Response) Verdict { return Verdict{server.Verdict{Action: server.Answer, Answer: r}} }

// AnswerBytes is Answer with bytes sent as they are.
func AnswerBytes(frame []byte) Verdict {
	return Verdict{server.Verdict{Action: server.Raw, Raw: frame}}
}

// Stall lets nothing pass in this direction from this frame on, while the
// connection stays open: a half-open connection. The other side's bytes are taken
// in and lost; time-outs of the node do not apply.
func Stall() Verdict { return Verdict{server.Verdict{Action: server.Stall}} }

// Intercept shows every frame of all connections, in both directions, to f
// from now on; nil ends interception. Frames that cannot be decoded, and what
// a client sends on a connection that is watching, are not shown.
func (n *Node) Intercept(f Interceptor) {
	if f == nil {
		n.server.Interceptor.Store(nil)
		return
	}
	asked := func(x *server.Frame) server.Verdict {
		shown := &Frame{Conn: x.Conn, Number: x.Number, Version: x.Version, Size: x.Size, Request: x.Request, Response: x.Response}
		if x.ToClient {
			shown.Direction = ToClient
		}
		return f(shown).verdict
	}
	n.server.Interceptor.Store(&asked)
}
