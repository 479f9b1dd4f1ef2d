package simulation_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

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

// Close implements net.Conn. Bytes on their way are lost, as by a reset: a
// request that its client has given up does not arrive later.
func (l *link) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.die()
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
	l.die()
	l.inbox = nil
	l.up.segments, l.down.segments = nil, nil
	l.changed.Broadcast()
}

// deafen takes nothing from the node any more, not even its end.
func (l *link) deafen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = true
}

// hangUp ends what comes from the node behind what is on its way.
func (l *link) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down.ended == nil {
		l.down.ended = io.EOF
	}
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
