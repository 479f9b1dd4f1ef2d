package storefaults

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Link is a network to a server: connections to it reach the server, and what is sent
// arrives late, in both directions.
type Link struct {
	listener net.Listener
	target   string
	delay    time.Duration
	done     chan struct{} // closed with the link
	work     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
	// stalled is closed while what is sent arrives.
	stalled chan struct{}
}

// NewLink makes a link that ends with the test.
func NewLink(t *testing.T, target string, delay time.Duration) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{listener: listener, target: target, delay: delay, done: make(chan struct{}), open: map[net.Conn]struct{}{}, stalled: make(chan struct{})}
	close(l.stalled)
	l.work.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

// Address is where the server is reached over the link.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Stall keeps back everything that is sent from now on, until resume is called.
func (l *Link) Stall() (resume func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stalled := make(chan struct{})
	l.stalled = stalled
	return sync.OnceFunc(func() { close(stalled) })
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l.join(client, server)
	}
}

// join passes between two connections, unless the link is closed.
func (l *Link) join(client, server net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = client.Close()
		_ = server.Close()
		return
	}
	l.open[client], l.open[server] = struct{}{}, struct{}{}
	l.work.Go(func() { l.pass(client, server) })
	l.work.Go(func() { l.pass(server, client) })
}

// parcel is what arrives at a time.
type parcel struct {
	data []byte
	due  time.Time
}

// pass hands on what one side sends, and ends both connections once that is over.
func (l *Link) pass(from, to net.Conn) {
	const under, size = 64, 32 << 10 // parcels on their way, and the most bytes of one
	way := make(chan parcel, under)
	l.work.Go(func() {
		defer close(way)
		for {
			p := parcel{data: make([]byte, size)}
			n, err := from.Read(p.data)
			if err != nil {
				return
			}
			p.data, p.due = p.data[:n], time.Now().Add(l.delay)
			select {
			case way <- p:
			case <-l.done:
				return
			}
		}
	})
	for p := range way {
		if !l.arrives(p.due) {
			break
		}
		if _, err := to.Write(p.data); err != nil {
			break
		}
	}
	l.end(from, to)
	for range way { // the reader ends with its connection
	}
}

// arrives waits until a parcel is due and nothing is stalled; false if the link is closed
// before.
func (l *Link) arrives(due time.Time) bool {
	select {
	case <-time.After(time.Until(due)):
	case <-l.done:
		return false
	}
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	select {
	case <-stalled:
		return true
	case <-l.done:
		return false
	}
}

func (l *Link) end(ends ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range ends {
		_ = c.Close()
		delete(l.open, c)
	}
}

func (l *Link) close() {
	l.mu.Lock()
	l.closed = true
	close(l.done)
	_ = l.listener.Close()
	for c := range l.open {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.work.Wait()
}
