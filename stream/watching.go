package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// watching is one watch, from its opening to its loss. It is a reader's job: whose
// frame calls for a read reads at once, and has another one go on watching. To have
// the other one read would put its waking between the frame and the read.
type watching struct {
	x        *executor
	attempt  attempt
	follower bool
	req      *msg.WatchRequest
	ctx      context.Context
	cancel   context.CancelFunc
	watch    Watch
	goOn     job
}

// open runs one watch until it ends: acknowledgement, frames, loss.
func (x *executor) open(a attempt, follower bool) {
	w := &watching{x: x, attempt: a, follower: follower, req: x.filters[a.link.Part].request(a.link.Shard, x.s.opts.Latency)}
	w.ctx, w.cancel = context.WithCancel(x.s.ctx)
	w.goOn = w.follow
	x.watches[a] = w.cancel
	x.spawn(func(ctx context.Context) { x.keepReading(ctx, w.open) })
}

func (w *watching) open(context.Context) (next job) {
	var err error
	if w.watch, err = w.x.s.src.Watch(w.ctx, w.follower, w.req); err != nil {
		return w.lost(err)
	}
	w.x.s.feed(func(e *engine.Engine, now time.Time) {
		e.Acked(now, w.attempt.link, w.attempt.epoch, w.watch.Node())
	})
	return w.goOn
}

// follow takes frames until one leads to a job.
func (w *watching) follow(context.Context) (next job) {
	for {
		frame, err := w.watch.Next(w.ctx)
		if err != nil {
			return w.lost(err)
		}
		// The frame is the watch's, and folded when feedBy returns.
		next = w.x.s.feedBy(w.goOn, func(e *engine.Engine, now time.Time) {
			e.Frame(now, w.attempt.link, w.attempt.epoch, frame)
		})
		if next != nil {
			return next
		}
	}
}

func (w *watching) lost(cause error) (next job) {
	w.cancel()
	if w.watch != nil {
		_ = w.watch.Close()
	}
	return w.x.s.feedBy(nil, func(e *engine.Engine, now time.Time) {
		delete(w.x.watches, w.attempt)
		e.Lost(now, w.attempt.link, w.attempt.epoch, classify(cause))
	})
}
