package conformance

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between pools and nodes and knows where frames begin. It dials a
// node before it accepts for it, so that a node that is down refuses as ever.
type proxy struct {
	listener net.Listener
	work     sync.WaitGroup
	down     atomic.Bool // the network refuses new connections

	// cuts and holes count the faults that happened to a living connection.
	cuts, holes atomic.Int64

	mu      sync.Mutex
	closed  bool
	links   map[*link]struct{}
	waiting map[string]*link // by the address the client dials from
	arrived sync.Cond        // a link was put into waiting
	judge   func(frame) fate
}

// frame is a frame on its way.
type frame struct {
	toClient bool
	kind     uint32 // the message type of its header
	number   int    // on its connection and in its direction, from 1
	size     int    // header included
}

const watchRequest, watchFrame, writeAnswer = 6, 8, 3

// fate is what becomes of a frame; the zero fate lets it pass.
type fate struct {
	cut  bool // the connection ends after at bytes of the frame
	at   int
	hole bool // nothing passes in this direction from now on, and nobody is told
}

type link struct {
	proxy        *proxy
	client, node net.Conn
	sunk         atomic.Bool // what the node sends is lost
	watching     atomic.Bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	done(t, err)
	p := &proxy{listener: listener, links: make(map[*link]struct{}), waiting: make(map[string]*link)}
	p.arrived.L = &p.mu
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// dial is the pools' dialler.
func (p *proxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.down.Load() {
		return nil, errors.New("the network is down")
	}
	var d net.Dialer
	node, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	client, err := d.DialContext(ctx, "tcp", p.listener.Addr().String())
	if err != nil {
		_ = node.Close()
		return nil, err
	}
	p.mu.Lock()
	p.waiting[client.LocalAddr().String()] = &link{proxy: p, node: node}
	p.arrived.Broadcast()
	p.mu.Unlock()
	return client, nil
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.join(client) })
	}
}

// join puts the two connections of a link together.
func (p *proxy) join(client net.Conn) {
	p.mu.Lock()
	from := client.RemoteAddr().String()
	for p.waiting[from] == nil && !p.closed {
		p.arrived.Wait()
	}
	l := p.waiting[from]
	delete(p.waiting, from)
	if p.closed || l == nil {
		p.mu.Unlock()
		_ = client.Close()
		return
	}
	l.client = client
	p.links[l] = struct{}{}
	p.mu.Unlock()
	p.work.Go(func() { l.pump(client, l.node, false) })
	l.pump(l.node, client, true)
}

// pump hands frames on until one side ends.
func (l *link) pump(from, to net.Conn, toClient bool) {
	defer l.close()
	in := bufio.NewReaderSize(from, 32<<10)
	for number := 1; ; number++ {
		header, err := in.Peek(17)
		if err != nil {
			return
		}
		f := frame{toClient, binary.LittleEndian.Uint32(header[4:]), number, 17 + int(binary.LittleEndian.Uint32(header[8:]))}
		if !toClient && f.kind == watchRequest {
			l.watching.Store(true)
		}
		fate := l.proxy.decide(f)
		if toClient && l.sunk.Load() {
			fate.hole = true
		}
		switch {
		case fate.cut:
			l.proxy.cuts.Add(1)
			_, _ = io.CopyN(to, in, int64(min(fate.at, f.size)))
			return
		case fate.hole:
			l.proxy.holes.Add(1)
			_, _ = io.Copy(io.Discard, in)
			return
		}
		if _, err := io.CopyN(to, in, int64(f.size)); err != nil {
			return
		}
	}
}

func (p *proxy) decide(f frame) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.judge == nil {
		return fate{}
	}
	return p.judge(f)
}

// intercept lets judge decide about every frame; it is called by one goroutine
// at a time.
func (p *proxy) intercept(judge func(frame) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// each does something to the connections that are chosen.
func (p *proxy) each(chosen func(*link) bool, do func(*link)) int {
	p.mu.Lock()
	var some []*link
	for l := range p.links {
		if chosen == nil || chosen(l) {
			some = append(some, l)
		}
	}
	p.mu.Unlock()
	for _, l := range some {
		do(l)
	}
	return len(some)
}

// cut ends the connections that are chosen, all if chosen is nil.
func (p *proxy) cut(chosen func(*link) bool) int {
	n := p.each(chosen, (*link).close)
	p.cuts.Add(int64(n))
	return n
}

// sink loses everything that nodes send on the connections that exist.
func (p *proxy) sink(chosen func(*link) bool) int {
	return p.each(chosen, func(l *link) { l.sunk.Store(true) })
}

func (p *proxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links) + len(p.waiting)
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.node.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.links, l)
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for _, l := range p.waiting {
		_ = l.node.Close()
	}
	p.arrived.Broadcast()
	p.mu.Unlock()
	p.cut(nil)
	p.work.Wait()
}
