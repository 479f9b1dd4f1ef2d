package gateway

import (
	"net"
	"sync"
)

// boundedListener refuses connections of an address that has too many, and tells of each.
type boundedListener struct {
	net.Listener
	limit   int
	refused func()

	mu   sync.Mutex
	open map[string]int
}

func newBoundedListener(l net.Listener, limit int, refused func()) *boundedListener {
	return &boundedListener{Listener: l, limit: limit, refused: refused, open: make(map[string]int)}
}

// Accept implements net.Listener. Connections beyond the limit are closed.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			host = conn.RemoteAddr().String()
		}
		if l.enter(host) {
			return &countedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		_ = conn.Close()
		l.refused()
	}
}

func (l *boundedListener) enter(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[host] >= l.limit {
		return false
	}
	l.open[host]++
	return true
}

func (l *boundedListener) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[host]--; l.open[host] == 0 {
		delete(l.open, host)
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	leave func()
}

func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
