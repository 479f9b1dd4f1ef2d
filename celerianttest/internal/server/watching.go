package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/watch"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// watchChunk is how many notifications are encoded for one write to the socket.
const watchChunk = 64

// watching is a running watch. The connection's goroutine sends; a second one
// reads, only to notice the client's end.
type watching struct {
	*conn
	version   wire.Version
	sub       *replica.Subscriber
	coalescer *watch.Coalescer
	frames    int // encoded in out and not yet written
}

// watch turns the connection into a stream of notifications until either side
// ends it. Server semantics 7.
func (c *conn) watch(in inbound, req *msg.WatchRequest, r *replica.Replica) error {
	latency := req.LatencyMS.Or(0)
	if most := uint64(c.server.Limits.MaxLatency.Milliseconds()); latency > most {
		return c.reply(in, nil, refusal.New(msg.CodeWatchLatency, fmt.Sprintf(`{"requested_ms":%d,"max_ms":%d}`, latency, most)))
	}
	sub, no := r.Subscribe(req)
	if no != nil {
		return c.reply(in, nil, no)
	}
	defer r.Unsubscribe(sub)
	if in.doomed {
		return c.cut()
	}
	c.server.Counters.Watches.Add(1)
	defer c.server.Counters.Watches.Add(-1)

	shuffle := rand.New(rand.NewPCG(c.server.Limits.Seed, uint64(c.number))).Shuffle
	w := &watching{conn: c, version: in.version, sub: sub, coalescer: watch.NewCoalescer(
		time.Duration(latency)*time.Millisecond, c.server.Limits.Heartbeat, shuffle, time.Now())}
	// The acknowledgement, an empty frame: the subscription is registered
	// already, so what commits from here on is reported.
	if err := c.send(in.version, &msg.WatchResponse{}); err != nil {
		return err
	}
	c.setReadDeadline(0)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c.awaitClient()
	}()
	err := w.run()
	c.end()
	<-gone
	return err
}

// awaitClient returns when the client closes, or sends anything at all, and
// ends the connection. Bytes that arrived behind the watch request count.
func (c *conn) awaitClient() {
	_, _ = io.ReadFull(c.in, make([]byte, 1))
	c.end()
}

// run sends frames until the connection ends or the subscriber is too slow.
func (w *watching) run() error {
	timer := time.NewTimer(time.Until(w.coalescer.Wake()))
	defer timer.Stop()
	for {
		if !w.server.Paused.pass(w.ctx) {
			return errEnded
		}
		if over, err := w.drain(); over || err != nil {
			return err
		}
		if frame, heartbeat := w.coalescer.Due(time.Now()); frame != nil || heartbeat {
			if err := w.push(frame); err != nil {
				return err
			}
			if err := w.flush(); err != nil {
				return err
			}
		}
		timer.Reset(time.Until(w.coalescer.Wake()))
		select {
		case <-w.sub.Queue.Ready():
		case <-timer.C:
		case <-w.ctx.Done():
			return errEnded
		}
	}
}

// drain sends what is queued. over means that the subscriber was dropped and
// has got all that was queued; what the coalescer still holds is lost.
func (w *watching) drain() (over bool, err error) {
	var chunk [watchChunk]msg.Notification
	for {
		n, over := w.sub.Queue.Peek(chunk[:])
		if n == 0 {
			return over, nil
		}
		for _, notification := range chunk[:n] {
			if frame := w.coalescer.Add(time.Now(), notification); frame != nil {
				if err := w.push(frame); err != nil {
					return false, err
				}
			}
		}
		if err := w.flush(); err != nil {
			return false, err
		}
		w.sub.Queue.Discard(n)
	}
}

// push encodes a frame; an interceptor gets each as it is sent.
func (w *watching) push(notifications []msg.Notification) error {
	resp := &msg.WatchResponse{Notifications: notifications}
	if w.server.Interceptor.Load() != nil {
		if err := w.flush(); err != nil {
			return err
		}
		return w.send(w.version, resp)
	}
	if w.frames == 0 {
		w.out = w.out[:0]
	}
	// A frame over the limit ends the watch, with and without Quirks: the
	// client reconciles, as it must after any loss.
	frame, err := wire.AppendResponse(w.out, w.version, resp, w.responseCoder(), w.server.Limits.MaxResponseSize)
	if err != nil {
		return err
	}
	w.out = frame
	w.frames++
	w.framesO++
	return nil
}

// flush writes the encoded frames.
func (w *watching) flush() error {
	if w.frames == 0 {
		return nil
	}
	frames := w.frames
	w.frames = 0
	return w.write(w.out, frames)
}
