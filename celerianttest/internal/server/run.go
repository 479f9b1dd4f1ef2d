package server

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/memnet"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
)

// Run is one life of the process: from listening until the sockets drop.
type Run struct {
	server *Server
	ctx    context.Context // ends with the run
	cancel context.CancelFunc
	Tcp    net.Listener // nil when there is none
	Memory *memnet.Listener
	wait   sync.WaitGroup // for the goroutines of listeners and connections

	mu    sync.Mutex
	conns map[*conn]struct{}
	over  bool
}

// NewRun makes a run whose listeners are the caller's to set before it serves.
func NewRun(s *Server) *Run {
	r := &Run{server: s, conns: make(map[*conn]struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Serve accepts connections until the run ends.
func (r *Run) Serve() {
	if r.Tcp != nil {
		r.wait.Go(func() { r.accept(r.Tcp) })
	}
	r.wait.Go(func() { r.accept(r.Memory) })
}

// accept serves what connects until the listener is closed.
func (r *Run) accept(l net.Listener) {
	for {
		socket, err := l.Accept()
		if err != nil {
			// Out of descriptors, or a connection that died in the backlog:
			// the next one may do.
			if replica.Pause(r.ctx, time.Millisecond) {
				continue
			}
			return
		}
		c := newConn(r, socket)
		if !r.add(c) {
			c.end()
			return
		}
		r.wait.Go(func() {
			c.serve()
			r.remove(c)
		})
	}
}

// add counts a connection as one of the run, false when the run is over.
func (r *Run) add(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.conns[c] = struct{}{}
	r.server.Counters.Connections.Add(1)
	r.server.Counters.Accepted.Add(1)
	return true
}

func (r *Run) remove(c *conn) {
	c.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	r.server.Counters.Connections.Add(-1)
}

// Cut ends the connections that are open now.
func (r *Run) Cut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.end()
	}
	return len(r.conns)
}

// End drops everything and returns when no goroutine of the run is left.
func (r *Run) End() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.cancel()
	if r.Tcp != nil {
		_ = r.Tcp.Close() // refusing further connections cannot fail in a way that matters
	}
	if r.Memory != nil {
		_ = r.Memory.Close()
	}
	r.Cut()
	r.wait.Wait()
}
