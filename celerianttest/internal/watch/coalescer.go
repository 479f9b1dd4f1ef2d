package watch

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Shuffle permutes n elements with swap, as rand.Rand.Shuffle does.
type Shuffle func(n int, swap func(i, j int))

// Coalescer turns notifications into frames. Without a latency each is a frame
// of its own. With latency L the window counts from the last frame sent, at
// first from the subscription: a notification that finds the window over is
// sent at once together with what waits, others wait for its end. Waiting notifications
// are merged per aggregate and operation, knows nothing of lives, and is sent in
// random order. Heartbeats are no frames in this sense. Server semantics 7.4.
//
// A Coalescer belongs to one goroutine.
type Coalescer struct {
	latency, heartbeat time.Duration
	shuffle            Shuffle

	sent    time.Time // when the last frame went out
	active  time.Time // when a frame, a notification or a heartbeat was last seen
	waiting []msg.Notification
	spare   []msg.Notification // the frame before, to be filled again
	index   map[subject]int
}

// subject is what notifications are merged by.
type subject struct {
	key       msg.Key
	operation msg.Operation
}

// NewCoalescer returns the coalescer of a subscription made at now.
func NewCoalescer(latency, heartbeat time.Duration, shuffle Shuffle, now time.Time) *Coalescer {
	return &Coalescer{
		latency: latency, heartbeat: heartbeat, shuffle: shuffle,
		sent: now, active: now, index: make(map[subject]int),
	}
}

// Add takes a notification in and returns the frame that is due now, or nil.
// The frame is valid until the next but one.
func (c *Coalescer) Add(now time.Time, n msg.Notification) []msg.Notification {
	c.active = now
	c.merge(n)
	if now.Sub(c.sent) < c.latency {
		return nil
	}
	return c.flush(now)
}

// Due returns the frame whose time has come, or nil, and whether a heartbeat
// is due instead.
func (c *Coalescer) Due(now time.Time) (frame []msg.Notification, heartbeat bool) {
	if len(c.waiting) > 0 {
		if now.Sub(c.sent) < c.latency {
			return nil, false
		}
		return c.flush(now), false
	}
	if now.Sub(c.active) < c.heartbeat {
		return nil, false
	}
	c.active = now
	return nil, true
}

// Wake returns when Due will next have something to do if nothing is added.
func (c *Coalescer) Wake() time.Time {
	if len(c.waiting) > 0 {
		return c.sent.Add(c.latency)
	}
	return c.active.Add(c.heartbeat)
}

func (c *Coalescer) flush(now time.Time) []msg.Notification {
	frame := c.waiting
	if len(frame) > 1 {
		c.shuffle(len(frame), func(i, j int) { frame[i], frame[j] = frame[j], frame[i] })
	}
	clear(c.index)
	c.waiting, c.spare = c.spare[:0], frame
	c.sent, c.active = now, now
	return frame
}

func (c *Coalescer) merge(n msg.Notification) {
	at := subject{n.Key, n.Operation}
	i, known := c.index[at]
	if !known {
		c.index[at] = len(c.waiting)
		c.waiting = append(c.waiting, n)
		return
	}
	old := &c.waiting[i]
	switch n.Operation {
	case msg.OpWrite:
		old.From.Value = min(old.From.Value, n.From.Value)
		old.To.Value = max(old.To.Value, n.To.Value)
	case msg.OpTrimStart:
		old.KeepFrom = n.KeepFrom
	}
}
