package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// Watch is an acknowledged watch on a connection of its own. Next is for one
// goroutine; Close and Node may be called from any.
type Watch struct {
	node *node
	conn *conn

	body   []byte // of the latest frame, reused
	early  []msg.Notification
	hasOne bool // early holds a frame that came in place of the acknowledgement

	mu      sync.Mutex
	cause   error // why it ended
	reading bool  // Next is on the connection
}

// Watch asks a node, chosen as for reads, for notifications and returns after its
// acknowledgement: whatever commits later is notified for as long as Next returns
// no error. It uses a connection of its own, beyond MaxConnections. ctx bounds
// only the opening, which takes at most ConnectTimeout and RequestTimeout at each
// node. Filters of more than about 50 ids do not fit (ErrTooLarge). A watch that
// several shards must answer is refused by the node with msg.ErrRouting: name the
// shard. Protocol section 12.
func (p *Pool) Watch(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	j := journey{pool: p, ctx: ctx}
	return j.watch(req)
}

// WatchFollower is [Pool.Watch] at a follower, and at the leader when no
// follower can, whatever RouteReadsToFollowers says.
func (p *Pool) WatchFollower(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	j := journey{pool: p, ctx: ctx, followers: true}
	return j.watch(req)
}

func (j *journey) watch(req *msg.WatchRequest) (w *Watch, err error) {
	p, r := j.pool, *req
	p.stats.requests.Add(1)
	r.SetCorrelation(msg.Some(p.ids.next()))
	j.req = &r
	err = j.serve(func(n *node) (sent bool, err error) {
		w, sent, err = n.watch(j.ctx, &r)
		return sent, err
	})
	if err != nil {
		p.stats.failures.Add(1)
		failed := j.failure(msg.TypeWatchRequest.String(), msg.None[msg.Key](), false, err)
		p.noteShards(failed)
		return nil, failed
	}
	return w, nil
}

func watchError(address string, sent bool, err error) error {
	return &Error{Op: msg.TypeWatchRequest.String(), Node: address, Sent: sent, Err: err}
}

func (n *node) watch(ctx context.Context, req *msg.WatchRequest) (w *Watch, sent bool, err error) {
	n.mu.Lock()
	if n.closed {
		defer n.mu.Unlock()
		return nil, false, n.refusal()
	}
	n.opening++
	n.mu.Unlock()
	w, sent, err = n.openWatch(ctx, req)

	n.mu.Lock()
	defer n.mu.Unlock()
	n.opening--
	if err == nil && n.closed {
		w.conn.nc.Close()
		err = ErrClosed
	}
	if err != nil {
		n.settle()
		return nil, sent, err
	}
	n.watches[w] = struct{}{}
	return w, true, nil
}

func (n *node) openWatch(ctx context.Context, req *msg.WatchRequest) (*Watch, bool, error) {
	c, err := n.reach(ctx, n.intake)
	if err != nil {
		return nil, false, err
	}
	defer context.AfterFunc(n.intake, func() { c.kill(ErrClosed) })()
	frame, sent, err := c.subscribe(ctx, req, n.opts.RequestTimeout)
	if err != nil {
		c.nc.Close()
		return nil, sent, err
	}
	if c.broken { // ctx ended in the moment of the acknowledgement
		c.nc.Close()
		return nil, sent, ended(ctx)
	}
	return &Watch{node: n, conn: c, early: frame, hasOne: len(frame) > 0}, sent, nil
}

// Next waits for the next frame and returns its notifications; none means a
// heartbeat. The slice is valid until the next call. Their order inside a frame
// means nothing. When ctx ends, when WatchLiveness passes without a frame
// (ErrWatchSilent), or when the connection ends, the watch is over: it is
// closed, and every further call returns the same *Error.
func (w *Watch) Next(ctx context.Context) ([]msg.Notification, error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	if w.hasOne {
		w.hasOne = false
		w.finish(nil)
		return w.early, nil
	}
	liveness := w.node.opts.WatchLiveness
	if ctx.Err() != nil {
		return nil, w.finish(ended(ctx))
	}
	w.conn.nc.SetDeadline(time.Now().Add(liveness))
	stop := w.conn.guard(ctx)
	frame, err := w.conn.nextFrame(&w.body)
	interrupted := !stop()
	switch {
	case err != nil:
		return nil, w.finish(w.conn.explainSilence(ctx, err, liveness))
	case interrupted:
		// The frame is whole and still counts, the connection no longer does.
		w.finish(ended(ctx))
	default:
		w.finish(nil)
	}
	return frame, nil
}

// begin claims the connection for Next.
func (w *Watch) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.cause != nil:
		return w.cause
	case w.reading:
		return watchError(w.conn.address, true, errors.New("Next is running already"))
	}
	w.reading = true
	return nil
}

// finish gives the connection back and, with a cause, ends the watch. It
// returns the cause the watch ended with, if it did.
func (w *Watch) finish(cause error) error {
	w.mu.Lock()
	w.reading = false
	ends := cause != nil && w.cause == nil
	if ends {
		w.stop(cause)
	}
	final := w.cause
	if final != nil {
		w.node.forget(w)
	}
	w.mu.Unlock()
	if ends {
		w.log(cause)
	}
	return final
}

// end ends the watch from outside. The one who reads takes it off the books.
func (w *Watch) end(cause error) {
	w.mu.Lock()
	ends := w.cause == nil
	if ends {
		w.stop(cause)
		if !w.reading {
			w.node.forget(w)
		}
	}
	w.mu.Unlock()
	if ends {
		w.log(cause)
	}
}

// stop closes the connection. The caller holds the lock.
func (w *Watch) stop(cause error) {
	w.cause = watchError(w.conn.address, true, cause)
	w.conn.kill(cause)
}

// log tells of the end, without the lock: the logger is the user's.
func (w *Watch) log(cause error) {
	w.node.opts.Logger.LogAttrs(context.Background(), slog.LevelDebug, "watch ended",
		slog.String("node", w.conn.address), slog.Any("error", cause))
}

// Close ends the watch; a waiting Next returns ErrClosed. It may be called at
// any time and more than once.
func (w *Watch) Close() error {
	w.end(ErrClosed)
	return nil
}

// Node returns the address of the node that is watched.
func (w *Watch) Node() string { return w.conn.address }

// forget takes an ended watch off the books.
func (n *node) forget(w *Watch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.watches[w]; ok {
		delete(n.watches, w)
		n.settle()
	}
}

// subscribe sends a watch request and waits for the acknowledgement. A frame
// with notifications instead of the empty one acknowledges as well and is
// returned.
func (c *conn) subscribe(ctx context.Context, req *msg.WatchRequest, timeout time.Duration) ([]msg.Notification, bool, error) {
	resp, sent, err := c.exchange(ctx, req, timeout)
	if err != nil {
		return nil, sent, err
	}
	return resp.(*msg.WatchResponse).Notifications, sent, nil
}

// nextFrame reads one frame of a watch into body.
func (c *conn) nextFrame(body *[]byte) ([]msg.Notification, error) {
	header, read, err := wire.ReadResponseFrame(c.in, c.maxResponse, c.coder, *body)
	if err != nil {
		return nil, transportError(err)
	}
	*body = nil
	if cap(read) <= keptBuffer {
		*body = read[:0]
	}
	kind := msg.ResponseType(header.Type)
	if kind != msg.TypeWatchResponse && kind != msg.TypeErrorResponse {
		return nil, violation("%v on a watch", kind)
	}
	resp, err := wire.DecodeResponse(header.Version, kind, read)
	if err != nil {
		return nil, violation("%w", err)
	}
	if refusal, ok := resp.(*msg.ErrorResponse); ok {
		return nil, msg.NewServerError(refusal, c.address)
	}
	return resp.(*msg.WatchResponse).Notifications, nil
}

// explainSilence is explain with the meaning a passed deadline has for a watch.
func (c *conn) explainSilence(ctx context.Context, err error, liveness time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && c.cause.Load() == nil {
		return &timeoutError{ErrWatchSilent, liveness}
	}
	if errors.Is(err, ErrConnectionLost) && c.cause.Load() == nil {
		return fmt.Errorf("watch ended: %w", err)
	}
	return c.explain(ctx, err, liveness)
}
