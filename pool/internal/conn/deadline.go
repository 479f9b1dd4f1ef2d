package conn

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// progressStep is how many bytes move a deadline on: whatever is slower than this in
// each timeout counts as silent.
const progressStep = 16 << 10

// The values of deadline.expires that are no moment.
const (
	idle        = 0  // no exchange is under way
	interrupted = -1 // the present exchange is over, and so is the connection
)

// deadline bounds the steps of an exchange: it passes when for one timeout nothing
// went on. An interruption makes it pass at once, and for good.
//
// To set the deadline of the socket for each exchange costs more than all else that an
// exchange does here. So an exchange only notes when it expires, and one timer, which
// several short exchanges do not touch, looks at that note: when it finds it expired it
// sets the socket's deadline, which is not set otherwise.
type deadline struct {
	nc    net.Conn
	birth time.Time // all moments are nanoseconds since then

	expires atomic.Int64 // the moment when the present exchange does; or idle, or interrupted
	timeout atomic.Int64 // of the present exchange, in nanoseconds
	moved   int          // bytes since expires was set; its goroutine's

	mu       sync.Mutex // guards the timer
	timer    *time.Timer
	armed    atomic.Int64           // the moment when the timer fires; 0: it does not
	told     atomic.Int64           // the expiry that halfway was told of
	halfway  atomic.Pointer[func()] // told when half of a timeout has passed; nil for nobody
	released bool
}

func (d *deadline) init(nc net.Conn) {
	d.nc, d.birth = nc, time.Now()
	nc.SetDeadline(time.Time{}) // a dialer may have left one
}

func (d *deadline) now() int64 { return int64(time.Since(d.birth)) + 1 }

// begin sets the deadline of a new exchange.
func (d *deadline) begin(timeout time.Duration) {
	d.moved = 0
	d.timeout.Store(int64(timeout))
	expires := d.now() + int64(timeout)
	d.expires.Store(expires)
	half := expires - int64(timeout)/2
	if armed := d.armed.Load(); armed == 0 || armed > half {
		d.arm(half)
	}
}

// end ends an exchange; false when it was interrupted.
func (d *deadline) end() bool { return d.expires.Swap(idle) > idle }

// arm has the timer fire at a moment, unless it fires sooner.
func (d *deadline) arm(at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if armed := d.armed.Load(); d.released || armed != 0 && armed <= at {
		return
	}
	d.armed.Store(at)
	wait := time.Duration(max(0, at-d.now()))
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.look)
		return
	}
	d.timer.Reset(wait)
}

// look is what the timer does. An exchange that begins meanwhile either is seen here or
// sees that the timer is not armed.
func (d *deadline) look() {
	d.armed.Store(0)
	for {
		expires := d.expires.Load()
		if expires <= idle {
			return
		}
		now, half := d.now(), expires-d.timeout.Load()/2
		switch {
		case now >= expires:
			if !d.expires.CompareAndSwap(expires, interrupted) {
				continue // it has moved on
			}
			d.nc.SetDeadline(longAgo)
		case now < half:
			d.arm(half)
		default:
			if halfway := d.halfway.Load(); halfway != nil && d.told.Swap(expires) != expires {
				(*halfway)()
			}
			d.arm(expires)
		}
		return
	}
}

// interrupt ends the present exchange.
func (d *deadline) interrupt() {
	d.expires.Store(interrupted)
	d.nc.SetDeadline(longAgo)
}

// progress moves the deadline on for bytes that were written or have arrived.
func (d *deadline) progress(bytes int) {
	if d.moved += bytes; d.moved < progressStep {
		return
	}
	d.moved = 0
	for {
		before := d.expires.Load()
		if before <= idle || d.expires.CompareAndSwap(before, d.now()+d.timeout.Load()) {
			return
		}
	}
}

// again gives the next answer of an exchange the whole time.
func (d *deadline) again() { d.progress(progressStep) }

// release stops the timer for good.
func (d *deadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.released = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

// Read reads from the connection and counts as progress.
func (d *deadline) Read(b []byte) (int, error) {
	n, err := d.nc.Read(b)
	if n > 0 {
		d.progress(n)
	}
	return n, err
}

// writeAll writes a frame; a long one in steps, each of which is progress.
func (d *deadline) writeAll(frame []byte) (written int, err error) {
	const step = 4 * progressStep
	for err == nil && written < len(frame) {
		var n int
		n, err = d.nc.Write(frame[written:min(len(frame), written+step)])
		written += n
		d.progress(n)
	}
	return written, err
}
