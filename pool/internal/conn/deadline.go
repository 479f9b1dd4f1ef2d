package conn

import (
	"net"
	"sync"
	"time"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// progressStep is how many bytes move a deadline on: whatever is slower than this in
// each timeout counts as silent.
const progressStep = 16 << 10

// deadline bounds the steps of an exchange: it passes when for one timeout nothing
// went on. An interruption makes it pass at once, and for good.
type deadline struct {
	nc net.Conn

	mu          sync.Mutex
	interrupted bool

	timeout time.Duration // of the present exchange; its goroutine's
	moved   int           // bytes since the deadline was set; likewise
}

// begin sets the deadline of a new exchange.
func (d *deadline) begin(timeout time.Duration) error {
	d.timeout, d.moved = timeout, 0
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = false
	return d.nc.SetDeadline(time.Now().Add(timeout))
}

// interrupt ends the present exchange.
func (d *deadline) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = true
	d.nc.SetDeadline(longAgo)
}

// progress moves the deadline on for bytes that were written or have arrived.
func (d *deadline) progress(bytes int) {
	if d.moved += bytes; d.moved < progressStep {
		return
	}
	d.moved = 0
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.interrupted {
		d.nc.SetDeadline(time.Now().Add(d.timeout))
	}
}

// again gives the next answer of an exchange the whole time.
func (d *deadline) again() { d.progress(progressStep) }

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
