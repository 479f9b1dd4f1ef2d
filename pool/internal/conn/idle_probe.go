package conn

import (
	"errors"
	"net"
	"os"
	"time"
)

// probe tells whether an idle connection is still usable, without waiting: the
// other end has neither closed nor sent anything.
type probe interface {
	usable() bool
}

func newProbe(nc net.Conn) probe {
	if wrapped, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = wrapped.NetConn()
	}
	if p := newSocketProbe(nc); p != nil {
		return p
	}
	return &deadlineProbe{nc: nc}
}

// deadlineProbe serves connections that are no sockets. A read whose deadline
// has passed still reports the end on most of them (net.Pipe does); where it
// does not, the first use finds out.
type deadlineProbe struct {
	nc   net.Conn
	byte [1]byte
}

func (p *deadlineProbe) usable() bool {
	if p.nc.SetReadDeadline(longAgo) != nil {
		return false
	}
	n, err := p.nc.Read(p.byte[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && p.nc.SetReadDeadline(time.Time{}) == nil
}
