package memnet

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// backlog is how many connections may wait to be accepted; further dials wait.
const backlog = 128

// Listener hands the far ends of dialled connections to Accept.
type Listener struct {
	addr    Addr
	buffer  int
	dialled atomic.Uint64
	waiting chan *Conn
	closed  chan struct{}
	once    sync.Once
}

// Listen returns a listener named addr whose connections hold up to buffer
// unread bytes in each direction.
func Listen(addr Addr, buffer int) *Listener {
	return &Listener{
		addr: addr, buffer: buffer,
		waiting: make(chan *Conn, backlog),
		closed:  make(chan struct{}),
	}
}

// Dial connects to the listener. Like a TCP dial it succeeds before anybody
// accepts. Dial fails when the listener is closed or ctx ends while the backlog
// is full.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	from := Addr(fmt.Sprintf("%s/client-%d", l.addr, l.dialled.Add(1)))
	client, server := Pair(from, l.addr, l.buffer)
	if err := ctx.Err(); err != nil {
		return nil, l.dialError(err)
	}
	select {
	case <-l.closed:
		return nil, l.dialError(syscall.ECONNREFUSED)
	default:
	}
	select {
	case l.waiting <- server:
	case <-l.closed:
		return nil, l.dialError(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, l.dialError(ctx.Err())
	}
	// A close that raced with the hand-over may have emptied the backlog
	// already; then nobody else would ever end this connection.
	select {
	case <-l.closed:
		l.drain()
	default:
	}
	return client, nil
}

func (l *Listener) dialError(err error) error {
	return &net.OpError{Op: "dial", Net: Network, Addr: l.addr, Err: err}
}

// Accept returns the next connection; net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: Network, Addr: l.addr, Err: net.ErrClosed}
	default:
	}
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: Network, Addr: l.addr, Err: net.ErrClosed}
	}
}

// Close refuses further dials and closes the connections nobody accepted.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.drain()
	return nil
}

func (l *Listener) drain() {
	for {
		select {
		case c := <-l.waiting:
			_ = c.Close()
		default:
			return
		}
	}
}

// Addr returns the listener's name.
func (l *Listener) Addr() net.Addr { return l.addr }
