package proxy

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

// Proxy stands between pools and nodes and knows where frames begin. A Proxy
// dials a node before it accepts for it, so that a node that is down refuses as
// ever.
type Proxy struct {
	listener net.Listener
	work     sync.WaitGroup
	Down     atomic.Bool // the network refuses new connections

	// Cuts and holes count the faults that happened to a living connection.
	Cuts, Holes atomic.Int64

	mu      sync.Mutex
	closed  bool
	links   map[*Link]struct{}
	waiting map[string]*Link // by the address the client dials from
	arrived sync.Cond        // a link was put into waiting
	judge   func(Frame) Fate
}

// Frame is a frame on its way.
type Frame struct {
	ToClient bool
	Kind     uint32 // the message type of its header
	number   int    // on its connection and in its direction, from 1
	Size     int    // header included
}

const watchRequest, WatchFrame, WriteAnswer = 6, 8, 3

// Fate is what becomes of a frame; the zero fate lets it pass.
type Fate struct {
	Cut  bool // the connection ends after at bytes of the frame
	At   int
	Hole bool // nothing passes in this direction from now on, and nobody is told
}

// Link is a connection from a client through the proxy to a node.
type Link struct {
	proxy        *Proxy
	client, node net.Conn
	sunk         atomic.Bool // what the node sends is lost
	Watching     atomic.Bool
}

// New starts a proxy that is closed at the end of the test.
func New(t *testing.T) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, links: make(map[*Link]struct{}), waiting: make(map[string]*Link)}
	p.arrived.L = &p.mu
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Dial is the pools' dialler.
func (p *Proxy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.Down.Load() {
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
	p.waiting[client.LocalAddr().String()] = &Link{proxy: p, node: node}
	p.arrived.Broadcast()
	p.mu.Unlock()
	return client, nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.join(client) })
	}
}

// join puts the two connections of a link together.
func (p *Proxy) join(client net.Conn) {
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
func (l *Link) pump(from, to net.Conn, toClient bool) {
	defer l.close()
	in := bufio.NewReaderSize(from, 32<<10)
	for number := 1; ; number++ {
		header, err := in.Peek(17)
		if err != nil {
			return
		}
		f := Frame{toClient, binary.LittleEndian.Uint32(header[4:]), number, 17 + int(binary.LittleEndian.Uint32(header[8:]))}
		if !toClient && f.Kind == watchRequest {
			l.Watching.Store(true)
		}
		fate := l.proxy.decide(f)
		if toClient && l.sunk.Load() {
			fate.Hole = true
		}
		switch {
		case fate.Cut:
			l.proxy.Cuts.Add(1)
			_, _ = io.CopyN(to, in, int64(min(fate.At, f.Size)))
			return
		case fate.Hole:
			l.proxy.Holes.Add(1)
			_, _ = io.Copy(io.Discard, in)
			return
		}
		if _, err := io.CopyN(to, in, int64(f.Size)); err != nil {
			return
		}
	}
}

func (p *Proxy) decide(f Frame) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.judge == nil {
		return Fate{}
	}
	return p.judge(f)
}

// Intercept lets judge decide about every frame; it is called by one goroutine
// at a time.
func (p *Proxy) Intercept(judge func(Frame) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// each does something to the connections that are chosen.
func (p *Proxy) each(chosen func(*Link) bool, do func(*Link)) int {
	p.mu.Lock()
	var some []*Link
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

// Cut ends the connections that are chosen, all if chosen is nil.
func (p *Proxy) Cut(chosen func(*Link) bool) int {
	n := p.each(chosen, (*Link).close)
	p.Cuts.Add(int64(n))
	return n
}

// Sink loses everything that nodes send on the connections that exist.
func (p *Proxy) Sink(chosen func(*Link) bool) int {
	return p.each(chosen, func(l *Link) { l.sunk.Store(true) })
}

// Open returns how many connections are open.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links) + len(p.waiting)
}

func (l *Link) close() {
	_ = l.client.Close()
	_ = l.node.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.links, l)
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for _, l := range p.waiting {
		_ = l.node.Close()
	}
	p.arrived.Broadcast()
	p.mu.Unlock()
	p.Cut(nil)
	p.work.Wait()
}
