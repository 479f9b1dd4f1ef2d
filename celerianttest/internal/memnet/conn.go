package memnet

import (
	"errors"
	"io"
	"net"
	"time"
)

// Network is the network name of addresses and errors.
const Network = "memory"

// Addr is the name of an end of a connection.
type Addr string

// Network returns "memory".
func (Addr) Network() string { return Network }

// String returns the name.
func (a Addr) String() string { return string(a) }

// Conn is one end of a connection. Like a TCP connection it may be used by
// several goroutines at once; what was written before a close can still be
// read by the other end, which then reads io.EOF.
type Conn struct {
	in, out       *pipe
	local, remote Addr
}

// Pair returns the two ends of a connection between a and b that holds up to
// buffer unread bytes in each direction.
func Pair(a, b Addr, buffer int) (*Conn, *Conn) {
	there, back := newPipe(buffer), newPipe(buffer)
	return &Conn{in: back, out: there, local: a, remote: b},
		&Conn{in: there, out: back, local: b, remote: a}
}

// Read reads what has arrived, waiting for the first byte.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.describe("read", err)
}

// Write returns when all of b has been taken into the buffer.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.describe("write", err)
}

// Close ends both directions and wakes everybody who waits on this end.
func (c *Conn) Close() error {
	c.out.end()
	c.in.refuse()
	return nil
}

// LocalAddr returns the name of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the name of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

// SetReadDeadline sets when waiting for bytes ends with os.ErrDeadlineExceeded.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

// SetWriteDeadline sets when waiting for room ends with os.ErrDeadlineExceeded.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setWriteDeadline(t)
	return nil
}

func (c *Conn) describe(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: Network, Source: c.local, Addr: c.remote, Err: err}
}
