package simulation_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// link is one connection as its client sees it.
type link struct {
	net      *network
	far      net.Conn
	who      string
	address  string
	number   int
	up, down *pipe

	life context.Context // ends when the client closes, or when it is cut
	die  context.CancelFunc

	mu      sync.Mutex
	changed sync.Cond
	inbox   []byte
	ended   error // after the inbox is read
	readBy  time.Time
	closed  bool // by the client
	slow    time.Duration
	held    bool
	deaf    bool // takes nothing from the node any more
}

// pipe is what is on its way in one direction, by the instants of sending.
type pipe struct {
	name     string
	chance   *rand.Rand
	segments []segment
	ended    error // behind the segments
	stalled  bool
	cutAt    int // bytes still delivered before the connection is cut; -1: all
}

type segment struct {
	at   time.Time
	data []byte
}

func newPipe(name string, seed uint64) *pipe {
	return &pipe{name: name, chance: rand.New(rand.NewPCG(seed, 1)), cutAt: -1}
}

// push adds bytes sent now. Bytes sent in one instant travel together: it may
// have been written by goroutines that woke in any order of steps.
func (p *pipe) push(b []byte) {
	now := time.Now()
	if n := len(p.segments); n > 0 && p.segments[n-1].at.Equal(now) {
		p.segments[n-1].data = append(p.segments[n-1].data, b...)
		return
	}
	p.segments = append(p.segments, segment{now, append([]byte(nil), b...)})
}

// next waits until something is on its way, lets it travel, and returns what was
// sent before the present instant, or what ended the pipe. The caller holds mu.
func (l *link) next(p *pipe) ([]byte, error) {
	for {
		for !l.closed && l.ended == nil && (p.stalled || l.held && p.ended == nil || len(p.segments) == 0 && p.ended == nil) {
			l.changed.Wait()
		}
		switch {
		case l.closed:
			return nil, net.ErrClosed
		case l.ended != nil:
			return nil, l.ended // at once, as if it was closed: the client may do so in this instant
		}
		wait := 30*time.Microsecond + time.Duration(p.chance.Int64N(int64(400*time.Microsecond)))
		if l.slow > 0 {
			wait += time.Duration(p.chance.Int64N(int64(l.slow)))
		}
		l.mu.Unlock()
		_ = l.net.when.nap(l.life, wait, p.name)
		l.mu.Lock()
		if l.closed || l.ended != nil || p.stalled || l.held && p.ended == nil {
			continue
		}
		var data []byte
		now := time.Now()
		for len(p.segments) > 0 && p.segments[0].at.Before(now) {
			data = append(data, p.segments[0].data...)
			p.segments = p.segments[1:]
		}
		if p.cutAt >= 0 {
			data = data[:min(len(data), p.cutAt)]
			p.cutAt -= len(data)
			if p.cutAt == 0 {
				p.segments, p.ended = nil, syscall.ECONNRESET
			}
		}
		if len(data) > 0 {
			return data, nil
		}
		if p.ended != nil && len(p.segments) == 0 {
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
		if n > 0 && !l.deaf {
			l.down.push(buffer[:n])
		}
		if err != nil && !l.deaf && l.down.ended == nil {
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
