package gateway

import (
	"net"
	"testing"
)

// accepting is a listener whose connections a test makes.
type accepting struct {
	net.Listener
	conns chan net.Conn
}

// Accept implements net.Listener.
func (a accepting) Accept() (net.Conn, error) {
	if conn, ok := <-a.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// from is a connection from an address; Close of a pipe has no failure.
type from struct {
	net.Conn
	address string
}

// RemoteAddr implements net.Conn.
func (f from) RemoteAddr() net.Addr { return address(f.address) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// Connections of an address beyond the limit are closed, and each is told of; others are not
// affected, and a place that is free again is given.
func TestConnectionsOfAnAddressAreBounded(t *testing.T) {
	var told []string
	hooks := Hooks{Denied: func(method, reason string) { told = append(told, method+reason) }}
	s := &Server{opts: Options{Hooks: hooks}}
	from := func(address string) net.Conn {
		here, there := net.Pipe()
		t.Cleanup(func() { _ = there.Close() })
		return from{here, address}
	}
	incoming := accepting{conns: make(chan net.Conn, 10)}
	l := newBoundedListener(incoming, 2, s.connectionRefused)
	accept := func(want string) net.Conn {
		t.Helper()
		conn, err := l.Accept()
		if err != nil || conn.RemoteAddr().String() != want {
			t.Fatalf("accepted %v, %v; want the one from %s", conn, err, want)
		}
		return conn
	}
	incoming.conns <- from("10.0.0.1:1")
	incoming.conns <- from("10.0.0.1:2")
	first := accept("10.0.0.1:1")
	accept("10.0.0.1:2")
	incoming.conns <- from("10.0.0.1:3") // one too many
	incoming.conns <- from("10.0.0.2:1")
	accept("10.0.0.2:1")
	if len(told) != 1 || told[0] != "connections_per_address" {
		t.Errorf("the hook is told of %q", told)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	incoming.conns <- from("10.0.0.1:4")
	accept("10.0.0.1:4")
	if len(told) != 1 {
		t.Errorf("the hook is told of %q", told)
	}
}
