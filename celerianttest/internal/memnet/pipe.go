package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipe is one direction of a connection: a ring buffer of at most limit bytes.
type pipe struct {
	mu      sync.Mutex
	changed sync.Cond

	ring  []byte // grows by doubling up to limit
	start int    // position of the first unread byte
	size  int    // number of unread bytes
	limit int

	ended   bool // the writer closed: readers drain, then io.EOF
	refused bool // the reader closed: writers fail

	readBy, writeBy time.Time // deadlines; zero means none
}

func newPipe(limit int) *pipe {
	p := &pipe{limit: limit}
	p.changed.L = &p.mu
	return p
}

// read copies what is there, waiting for the first byte. closed tells whether
// the reader's own connection was closed meanwhile.
func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.refused:
			return 0, net.ErrClosed
		case expired(p.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case p.size > 0:
			n := p.take(b)
			p.changed.Broadcast()
			return n, nil
		case p.ended:
			return 0, io.EOF
		}
		p.wait(p.readBy)
	}
}

// write copies all of b, waiting for room as often as needed.
func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for {
		switch {
		case p.ended:
			return written, net.ErrClosed
		case p.refused:
			return written, syscall.EPIPE
		case expired(p.writeBy):
			return written, os.ErrDeadlineExceeded
		}
		if n := p.put(b[written:]); n > 0 {
			written += n
			p.changed.Broadcast()
		}
		if written == len(b) {
			return written, nil
		}
		p.wait(p.writeBy)
	}
}

// wait blocks until something changed or the deadline has passed. The timer
// exists only while somebody waits, so setting a deadline costs nothing.
func (p *pipe) wait(deadline time.Time) {
	if !deadline.IsZero() {
		// The callback takes the lock: without it the wake-up could fall
		// between the caller's check and its Wait, and be lost.
		timer := time.AfterFunc(time.Until(deadline), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.changed.Broadcast()
		})
		defer timer.Stop()
	}
	p.changed.Wait()
}

func expired(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

func (p *pipe) take(b []byte) int {
	n := min(len(b), p.size)
	first := copy(b[:n], p.ring[p.start:])
	copy(b[first:n], p.ring)
	p.start, p.size = (p.start+n)%len(p.ring), p.size-n
	if p.size == 0 {
		p.start = 0
	}
	return n
}

func (p *pipe) put(b []byte) int {
	p.grow(p.size + len(b))
	n := min(len(b), len(p.ring)-p.size)
	if n == 0 {
		return 0
	}
	at := (p.start + p.size) % len(p.ring)
	first := copy(p.ring[at:], b[:n])
	copy(p.ring, b[first:n])
	p.size += n
	return n
}

// grow makes room for need bytes, or for as many as the limit allows.
func (p *pipe) grow(need int) {
	need = min(need, p.limit)
	if need <= len(p.ring) {
		return
	}
	size := max(1024, len(p.ring))
	for size < need {
		size *= 2
	}
	bigger := make([]byte, min(size, p.limit))
	held := p.size
	if held > 0 {
		p.take(bigger[:held])
	}
	p.ring, p.start, p.size = bigger, 0, held
}

// end is the writer's close.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.changed.Broadcast()
}

// refuse is the reader's close: unread bytes are gone.
func (p *pipe) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = true
	p.ring, p.start, p.size = nil, 0, 0
	p.changed.Broadcast()
}

func (p *pipe) setReadDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readBy = t
	p.changed.Broadcast()
}

func (p *pipe) setWriteDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeBy = t
	p.changed.Broadcast()
}
