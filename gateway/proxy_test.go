package gateway_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy passes connections on to an address, and cuts them when it is told to.
type proxy struct {
	listener net.Listener
	target   atomic.Pointer[string]
	work     sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, open: make(map[net.Conn]struct{})}
	p.target.Store(&target)
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", *p.target.Load())
		if err != nil {
			_ = from.Close()
			continue
		}
		p.mu.Lock()
		p.open[from], p.open[to] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.work.Go(func() { p.pass(from, to) })
		p.work.Go(func() { p.pass(to, from) })
	}
}

func (p *proxy) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = to.Close()
	p.mu.Lock()
	delete(p.open, from)
	p.mu.Unlock()
}

// cut ends all connections and returns how many there were.
func (p *proxy) cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.open)
	for c := range p.open {
		_ = c.Close()
	}
	return n
}
