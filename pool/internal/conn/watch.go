package conn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// errNextRuns is a misuse of Next.
var errNextRuns = errors.New("Next is running already")

// Watch is an acknowledged watch on a connection that serves nothing else any more. Next
// is for one goroutine; Close and End may be called from any.
type Watch struct {
	conn     *Conn
	liveness time.Duration

	early  []msg.Notification
	hasOne bool // early holds a frame that came in place of the acknowledgement

	mu      sync.Mutex
	cause   error // why it ended
	reading bool  // Next is on the connection
	ended   func(cause error)
}

// Watch sends a watch request and waits for the acknowledgement; from then on the
// connection belongs to the watch. A frame with notifications instead of the empty
// one acknowledges as well, and is the first of the watch. liveness is how long each
// Next waits.
func (c *Conn) Watch(ctx context.Context, req *msg.WatchRequest, timeout, liveness time.Duration) (*Watch, Attempt) {
	resp, attempt := c.Do(ctx, req, timeout)
	if attempt.Err == nil && c.Broken() { // ctx ended in the moment of the acknowledgement
		attempt.Err = Ended(ctx)
	}
	if attempt.Err != nil {
		return nil, attempt
	}
	early := resp.(*msg.WatchResponse).Notifications
	return &Watch{conn: c, liveness: liveness, early: early, hasOne: len(early) > 0}, attempt
}

// OnEnd has ended called once, when nobody uses the connection any more; false when the
// watch has ended already.
func (w *Watch) OnEnd(ended func(cause error)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = ended
	return w.cause == nil
}

// Node returns the address of the node that is watched.
func (w *Watch) Node() string { return w.conn.Node() }

// Next waits for the next frame, at most the liveness; none means a heartbeat. The slice
// is valid until the next call. After an error the watch is over: the connection is
// closed, and further calls return the same error.
func (w *Watch) Next(ctx context.Context) ([]msg.Notification, error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	cause := error(ErrConnectionLost) // should the socket, the user's, end this goroutine
	defer func() { w.finish(cause) }()
	if w.hasOne {
		w.hasOne, cause = false, nil
		return w.early, nil
	}
	frame, over, err := w.conn.nextFrame(ctx, w.liveness)
	switch {
	case err != nil:
		cause = err
		return nil, w.ending(err)
	case over: // the frame is whole and still counts, the connection no longer does
		cause = Ended(ctx)
	default:
		cause = nil
	}
	return frame, nil
}

// ending is why the watch ends: whoever ended it from outside says it first.
func (w *Watch) ending(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		w.stop(err)
	}
	return w.cause
}

// begin claims the connection for Next.
func (w *Watch) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.cause != nil:
		return w.cause
	case w.reading:
		return errNextRuns
	}
	w.reading = true
	return nil
}

// finish gives the connection back and, with a cause, ends the watch.
func (w *Watch) finish(cause error) {
	w.mu.Lock()
	w.reading = false
	if cause != nil {
		w.stop(cause)
	}
	final := w.cause
	w.mu.Unlock()
	if final != nil {
		w.letGo(final)
	}
}

// End ends the watch from outside; a waiting Next returns cause. End may be called at
// any time and more than once.
func (w *Watch) End(cause error) {
	w.mu.Lock()
	w.stop(cause)
	reading, final := w.reading, w.cause
	w.mu.Unlock()
	if !reading {
		w.letGo(final)
	}
}

// stop ends the watch, if it has not ended, and closes the socket. The caller holds the
// lock.
func (w *Watch) stop(cause error) {
	if w.cause == nil {
		w.cause = cause
		w.conn.Kill(cause)
	}
}

// letGo closes the connection, which nobody reads any more.
func (w *Watch) letGo(cause error) {
	w.mu.Lock()
	ended := w.ended
	w.ended = nil
	w.mu.Unlock()
	w.conn.Close()
	if ended != nil {
		ended(cause)
	}
}

// nextFrame waits for the next frame of a watch, at most liveness. The slice is valid
// until the next call. over tells that a frame came in the moment ctx ended: it
// counts, but is the last.
func (c *Conn) nextFrame(ctx context.Context, liveness time.Duration) (frame []msg.Notification, over bool, err error) {
	if ctx.Err() != nil {
		return nil, true, Ended(ctx)
	}
	stop := c.begin(ctx, liveness)
	frame, err = c.readFrame()
	over = !c.end(stop)
	if err != nil {
		return nil, true, c.explainSilence(ctx, err, liveness)
	}
	return frame, over, nil
}

func (c *Conn) readFrame() ([]msg.Notification, error) {
	header, read, err := wire.ReadResponseFrame(c.in, c.opener.config.MaxResponse, c.coder.codec(), c.body)
	if err != nil {
		return nil, transportError(err)
	}
	c.body = nil
	if cap(read) <= keptBuffer {
		c.body = read[:0]
	}
	kind := msg.ResponseType(header.Type)
	if kind != msg.TypeWatchResponse && kind != msg.TypeErrorResponse {
		return nil, Violation("%v on a watch", kind)
	}
	resp, err := wire.DecodeResponse(header.Version, kind, read)
	if err != nil {
		return nil, decodeError(err)
	}
	if refusal, ok := resp.(*msg.ErrorResponse); ok {
		return nil, c.refusal(refusal)
	}
	return resp.(*msg.WatchResponse).Notifications, nil
}

// explainSilence is explain with the meaning a passed deadline has for a watch.
func (c *Conn) explainSilence(ctx context.Context, err error, liveness time.Duration) error {
	killed := c.cause.Load() != nil
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && !killed:
		return &TimeoutError{Sentinel: ErrWatchSilent, After: liveness}
	case errors.Is(err, ErrConnectionLost) && !killed:
		return fmt.Errorf("watch ended: %w", err)
	}
	return c.explain(ctx, err, liveness)
}
