package pool

import (
	"context"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Watch is an acknowledged watch on a connection of its own. Next is for one
// goroutine; Close and Node may be called from any.
type Watch struct {
	watch *conn.Watch
	last  *Error // why it ended
}

// Watch asks a node, chosen as for reads, for notifications and returns after its
// acknowledgement: whatever commits later is notified for as long as Next returns
// no error. Watch uses a connection of its own, beyond MaxConnections. ctx bounds
// only the opening, which takes at most ConnectTimeout and RequestTimeout at each
// node. Filters of more than about 50 ids do not fit (ErrTooLarge). A watch that
// several shards must answer is refused by the node with msg.ErrRouting: name the
// shard. Protocol section 12.
func (p *Pool) Watch(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	return p.watch(ctx, cluster.Route{}, req)
}

// WatchFollower is [Pool.Watch] at a follower, and at the leader when no
// follower can, whatever RouteReadsToFollowers says.
func (p *Pool) WatchFollower(ctx context.Context, req *msg.WatchRequest) (*Watch, error) {
	return p.watch(ctx, cluster.Route{Follower: true}, req)
}

func (p *Pool) watch(ctx context.Context, route cluster.Route, req *msg.WatchRequest) (*Watch, error) {
	if err := checkWatch(ctx, req); err != nil {
		return nil, err
	}
	r := *req
	began := p.begin()
	w, tries, failure := p.cluster.Watch(ctx, cluster.Operation{Request: &r, Route: route})
	if err := p.end(ctx, msg.TypeWatchRequest, msg.None[msg.Key](), began, tries, failure); err != nil {
		return nil, err
	}
	return &Watch{watch: w}, nil
}

func checkWatch(ctx context.Context, req *msg.WatchRequest) error {
	op := msg.TypeWatchRequest.String()
	if err := checkContext(op, ctx); err != nil {
		return err
	}
	if req == nil {
		return invalid(op, "the request is nil")
	}
	return nil
}

// Next waits for the next frame and returns its notifications; none means a
// heartbeat. The slice is valid until the next call. Their order inside a frame
// means nothing. When ctx ends, when WatchLiveness passes without a frame
// (ErrWatchSilent), or when the connection ends, the watch is over: it is
// closed, and every further call returns the same *Error.
func (w *Watch) Next(ctx context.Context) ([]msg.Notification, error) {
	if err := checkContext(msg.TypeWatchRequest.String(), ctx); err != nil {
		return nil, err
	}
	frame, err := w.watch.Next(ctx)
	if err == nil {
		return frame, nil
	}
	if w.last == nil || w.last.Err != err {
		w.last = &Error{Op: msg.TypeWatchRequest.String(), Node: w.Node(), Sent: true, Err: err}
	}
	return nil, w.last
}

// Close ends the watch; a waiting Next returns ErrClosed. Close may be called
// at any time and more than once.
func (w *Watch) Close() error {
	w.watch.End(ErrClosed)
	return nil
}

// Node returns the address of the node that is watched.
func (w *Watch) Node() string { return w.watch.Node() }
