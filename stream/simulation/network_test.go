package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// network connects clients with nodes. Each delivery takes a time of its own;
// connections can be cut, slowed and made to lose one direction.
type network struct {
	when  *instants
	log   *recorder
	nodes map[string]*celerianttest.Node
	work  sync.WaitGroup // of all connections

	mu      sync.Mutex
	dialled int
	links   []*link // that are open, in the order of dialling
	dark    map[string]bool
	holding map[string]bool
}

func newNetwork(when *instants, log *recorder, nodes ...*celerianttest.Node) *network {
	n := &network{when: when, log: log, nodes: make(map[string]*celerianttest.Node), dark: make(map[string]bool), holding: make(map[string]bool)}
	for _, node := range nodes {
		n.nodes[node.Addr()] = node
	}
	return n
}

// dialler returns what a client of that name dials with.
func (n *network) dialler(who string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		if err := n.when.nap(ctx, n.when.delay(20*time.Microsecond, 300*time.Microsecond, "dial", who, address, ctx.Value(purpose{}))); err != nil {
			return nil, err
		}
		n.mu.Lock()
		dark := n.dark[address]
		n.mu.Unlock()
		node := n.nodes[address]
		switch {
		case dark: // packets are lost: nobody answers
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case node == nil:
			return nil, &net.OpError{Op: "dial", Net: "simulated", Err: syscall.EHOSTUNREACH}
		}
		far, err := node.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return n.open(who, address, far), nil
	}
}

func (n *network) open(who, address string, far net.Conn) *link {
	n.mu.Lock()
	n.dialled++
	l := &link{net: n, far: far, who: who, address: address, number: n.dialled, held: n.holding[address]}
	n.links = append(n.links, l)
	n.mu.Unlock()
	l.changed.L = &l.mu
	chance := rand.New(rand.NewPCG(n.when.seed, uint64(l.number)<<8|'n'))
	l.up = newPipe(l, chance.Uint64())
	l.down = newPipe(l, chance.Uint64())
	l.note("opened")
	n.work.Go(l.pumpUp)
	n.work.Go(l.pumpFar)
	n.work.Go(l.pumpDown)
	return l
}

func (n *network) forget(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, open := range n.links {
		if open == l {
			n.links = append(n.links[:i:i], n.links[i+1:]...)
			return
		}
	}
}

// some returns the open links that pass a filter, in the order of dialling.
func (n *network) some(pass func(*link) bool) []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []*link
	for _, l := range n.links {
		if pass(l) {
			found = append(found, l)
		}
	}
	return found
}

// moment lets a little time pass, so that what is done to several connections is
// not done to them in one instant.
func (n *network) moment() {
	n.when.sleep(n.when.delay(time.Microsecond, 5*time.Microsecond, "moment"))
}

// purpose is the key of a context's value that says what a connection is dialled
// for. Callers that waited for the same leader go on in the same instant.
type purpose struct{}

// hold makes a node seem to do nothing: connections to it are opened, and nothing
// travels on any. Letting go, everything goes on at an instant of its own; a node
// that is stopped by itself wakes with all its connections at once, and in which
// order it then takes requests is anybody's guess.
func (n *network) hold(address string, held bool) {
	n.mu.Lock()
	n.holding[address] = held
	n.mu.Unlock()
	for _, l := range n.some(func(l *link) bool { return l.address == address }) {
		l.mu.Lock()
		l.held = held
		l.changed.Broadcast()
		l.mu.Unlock()
	}
}

func (n *network) darken(address string, dark bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark[address] = dark
}

// link is one connection as its client sees it.
type link struct {
	net      *network
	far      net.Conn
	who      string
	address  string
	number   int
	up, down *pipe

	mu      sync.Mutex
	changed sync.Cond
	inbox   []byte
	ended   error // after the inbox is read
	readBy  time.Time
	closed  bool // by the client
	slow    time.Duration
	held    bool
}

// pipe is what is on its way in one direction, by the instants of sending.
type pipe struct {
	chance  *rand.Rand
	parcels []parcel
	ended   error // behind the parcels
	stalled bool
	cutAt   int // bytes still delivered before the connection is cut; -1: all
}

type parcel struct {
	at   time.Time
	data []byte
}

func newPipe(_ *link, seed uint64) *pipe {
	return &pipe{chance: rand.New(rand.NewPCG(seed, 1)), cutAt: -1}
}

// push adds bytes sent now. What is sent in one instant travels together: it may
// have been written by goroutines that woke in any order of steps.
func (p *pipe) push(b []byte) {
	now := time.Now()
	if n := len(p.parcels); n > 0 && p.parcels[n-1].at.Equal(now) {
		p.parcels[n-1].data = append(p.parcels[n-1].data, b...)
		return
	}
	p.parcels = append(p.parcels, parcel{now, append([]byte(nil), b...)})
}

// next waits until something is on its way, lets it travel, and returns what was
// sent before the present instant, or what ended the pipe. The caller holds mu.
func (l *link) next(p *pipe) ([]byte, error) {
	for {
		for !l.closed && (p.stalled || l.held && p.ended == nil || len(p.parcels) == 0 && p.ended == nil) {
			l.changed.Wait()
		}
		if l.closed {
			return nil, net.ErrClosed
		}
		wait := 30*time.Microsecond + time.Duration(p.chance.Int64N(int64(400*time.Microsecond)))
		if l.slow > 0 {
			wait += time.Duration(p.chance.Int64N(int64(l.slow)))
		}
		l.mu.Unlock()
		l.net.when.sleep(wait)
		l.mu.Lock()
		if l.closed || p.stalled || l.held && p.ended == nil {
			continue
		}
		var data []byte
		now := time.Now()
		for len(p.parcels) > 0 && p.parcels[0].at.Before(now) {
			data = append(data, p.parcels[0].data...)
			p.parcels = p.parcels[1:]
		}
		if p.cutAt >= 0 {
			data = data[:min(len(data), p.cutAt)]
			p.cutAt -= len(data)
			if p.cutAt == 0 {
				p.parcels, p.ended = nil, syscall.ECONNRESET
			}
		}
		if len(data) > 0 {
			return data, nil
		}
		if p.ended != nil && len(p.parcels) == 0 {
			return nil, p.ended
		}
	}
}

// pumpUp delivers to the node.
func (l *link) pumpUp() {
	for {
		l.mu.Lock()
		data, err := l.next(l.up)
		l.mu.Unlock()
		if err == nil {
			_, err = l.far.Write(data)
		}
		if err != nil {
			_ = l.far.Close()
			return
		}
	}
}

// pumpFar takes over what the node sends.
func (l *link) pumpFar() {
	buffer := make([]byte, 32<<10)
	for {
		n, err := l.far.Read(buffer)
		l.mu.Lock()
		if n > 0 {
			l.down.push(buffer[:n])
		}
		if err != nil && l.down.ended == nil {
			l.down.ended = err
		}
		l.changed.Broadcast()
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// pumpDown delivers to the client.
func (l *link) pumpDown() {
	for {
		l.mu.Lock()
		data, err := l.next(l.down)
		l.inbox = append(l.inbox, data...)
		if err != nil && l.ended == nil {
			l.ended = err
			if !errors.Is(err, net.ErrClosed) {
				l.note("ended: %v", err)
			}
		}
		l.changed.Broadcast()
		l.mu.Unlock()
		if err != nil {
			_ = l.far.Close()
			return
		}
	}
}

// Read implements net.Conn.
func (l *link) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return 0, net.ErrClosed
		case len(l.inbox) > 0 && !passed(l.readBy):
			n := copy(b, l.inbox)
			l.inbox = l.inbox[n:]
			return n, nil
		case len(l.inbox) == 0 && l.ended != nil:
			return 0, l.end()
		case passed(l.readBy):
			return 0, os.ErrDeadlineExceeded
		}
		l.wait()
	}
}

func (l *link) end() error {
	if l.ended == io.EOF {
		return io.EOF
	}
	return &net.OpError{Op: "read", Net: "simulated", Err: l.ended}
}

// wait blocks until something changed or the deadline has passed.
func (l *link) wait() {
	if !l.readBy.IsZero() {
		timer := time.AfterFunc(time.Until(l.readBy), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.changed.Broadcast()
		})
		defer timer.Stop()
	}
	l.changed.Wait()
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

// Write implements net.Conn; there is always room.
func (l *link) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return 0, net.ErrClosed
	case l.ended != nil:
		return 0, &net.OpError{Op: "write", Net: "simulated", Err: syscall.EPIPE}
	}
	l.up.push(b)
	l.changed.Broadcast()
	return len(b), nil
}

// Close implements net.Conn. What was on its way is lost, as by a reset: a
// request that its client has given up does not arrive later.
func (l *link) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	l.note("closed")
	l.net.forget(l)
	return l.far.Close()
}

// cut ends the connection, after so many more bytes to the client if any.
func (l *link) cut(after int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.ended != nil {
		return
	}
	l.note("cut after %d", after)
	if after > 0 {
		l.down.cutAt = after
		return
	}
	l.ended = syscall.ECONNRESET
	l.inbox = nil
	l.up.parcels, l.up.ended = nil, syscall.ECONNRESET
	l.down.parcels, l.down.ended = nil, syscall.ECONNRESET
	l.changed.Broadcast()
}

// stall loses everything in a direction from now on.
func (l *link) stall(up, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note("stalled up %v down %v", up, down)
	l.up.stalled, l.down.stalled = up, down
}

// slowDown makes every delivery take up to d more.
func (l *link) slowDown(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note("slow %v", d)
	l.slow = d
}

func (l *link) note(format string, args ...any) {
	l.net.log.add(fmt.Sprintf("link %d of %s to %s", l.number, l.who, l.address), format, args...)
}

// The rest of net.Conn.
func (l *link) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readBy = t
	l.changed.Broadcast()
	return nil
}
func (l *link) SetWriteDeadline(time.Time) error { return nil }
func (l *link) SetDeadline(t time.Time) error    { return l.SetReadDeadline(t) }
func (l *link) LocalAddr() net.Addr              { return l.far.LocalAddr() }
func (l *link) RemoteAddr() net.Addr             { return l.far.RemoteAddr() }
