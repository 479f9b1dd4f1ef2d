package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// watching is one watch, from its opening to its loss. It is a reader's job: the
// goroutine whose frame calls for a read reads at once, and has another one go on
// watching. To have the other one read would put its waking between the frame and
// the read.
type watching struct {
	x        *executor
	attempt  attempt
	follower bool
	req      *msg.WatchRequest
	ctx      context.Context
	cancel   context.CancelFunc
	watch    Watch
	acked    bool
	frame    []msg.Notification
}

// open runs one watch until it ends: acknowledgement, frames, loss.
func (x *executor) open(a attempt, follower bool) {
	w := &watching{x: x, attempt: a, follower: follower, req: x.filters[a.link.Part].request(a.link.Shard, x.s.opts.Latency)}
	w.ctx, w.cancel = context.WithCancel(x.s.ctx)
	x.watches[a] = w.cancel
	x.spawn(func(ctx context.Context) { x.keepReading(ctx, w) })
}

// ask opens the watch, or takes the next frame.
func (w *watching) ask(context.Context) (err error) {
	if w.watch == nil {
		w.watch, err = w.x.s.src.Watch(w.ctx, w.follower, w.req)
		return err
	}
	w.frame, err = w.watch.Next(w.ctx)
	return err
}

func (w *watching) answered(err error) (next job) {
	if err != nil {
		return w.lost(err)
	}
	if !w.acked {
		w.acked = true
		w.x.s.nodeAnswered(nil, w.attempt.link)
		w.x.s.feed(func(e *engine.Engine, now time.Time) {
			e.Acked(now, w.attempt.link, w.attempt.epoch, w.watch.Node())
		})
		return w
	}
	// The frame is the watch's, and folded when feedBy returns.
	next = w.x.s.feedBy(w, func(e *engine.Engine, now time.Time) {
		e.Frame(now, w.attempt.link, w.attempt.epoch, w.frame)
	})
	if next == nil {
		return w
	}
	return next
}

func (w *watching) lost(cause error) (next job) {
	if w.ctx.Err() == nil { // otherwise the engine has left it
		w.x.s.nodeAnswered(cause, w.attempt.link)
		w.x.s.disconnected(w, cause)
	}
	w.cancel()
	if w.watch != nil {
		_ = w.watch.Close()
	}
	return w.x.s.feedBy(nil, func(e *engine.Engine, now time.Time) {
		delete(w.x.watches, w.attempt)
		e.Lost(now, w.attempt.link, w.attempt.epoch, classify(cause))
	})
}
