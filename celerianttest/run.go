package celerianttest

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/memnet"
)

// run is one life of the process: from listening until the sockets drop.
type run struct {
	node   *Node
	ctx    context.Context // ends with the run
	cancel context.CancelFunc
	tcp    net.Listener // nil when there is none
	memory *memnet.Listener
	wait   sync.WaitGroup // for the goroutines of listeners and connections

	mu    sync.Mutex
	conns map[*conn]struct{}
	over  bool
}

func newRun(n *Node) *run {
	r := &run{node: n, conns: make(map[*conn]struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *run) serve() {
	if r.tcp != nil {
		r.wait.Go(func() { r.accept(r.tcp) })
	}
	r.wait.Go(func() { r.accept(r.memory) })
}

// accept serves what connects until the listener is closed.
func (r *run) accept(l net.Listener) {
	for {
		socket, err := l.Accept()
		if err != nil {
			// Out of descriptors, or a connection that died in the backlog:
			// the next one may do.
			if pause(r.ctx, time.Millisecond) {
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

func (r *run) add(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.conns[c] = struct{}{}
	r.node.counters.connections.Add(1)
	r.node.counters.accepted.Add(1)
	return true
}

func (r *run) remove(c *conn) {
	c.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	r.node.counters.connections.Add(-1)
}

// cut ends the connections that are open now.
func (r *run) cut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.end()
	}
	return len(r.conns)
}

// end drops everything and returns when no goroutine of the run is left.
func (r *run) end() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.cancel()
	if r.tcp != nil {
		_ = r.tcp.Close() // refusing further connections cannot fail in a way that matters
	}
	if r.memory != nil {
		_ = r.memory.Close()
	}
	r.cut()
	r.wait.Wait()
}
