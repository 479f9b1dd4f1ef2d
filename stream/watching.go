package stream

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// watching is one watch, from its opening to its loss. Until it is acknowledged it is a
// reader's job. Then the source pushes its frames, if it can, or it remains a job: the
// goroutine whose frame calls for a read reads at once, and another one goes on
// watching. Reading on the other one would put its waking between the frame and the
// read.
type watching struct {
	x        *executor
	attempt  attempt
	follower bool
	req      *msg.WatchRequest
	ctx      context.Context // ends the opening, and what is a job
	cancel   context.CancelFunc
	watch    Watch
	acked    bool
	frame    []msg.Notification
	// left: the engine wants no more of it. pushed: the source hands it its frames. Both
	// are set under Subscription.step.
	left   atomic.Bool
	pushed bool
}

// open runs one watch until it ends: acknowledgement, frames, loss.
func (x *executor) open(a attempt, follower bool) {
	w := &watching{x: x, attempt: a, follower: follower, req: x.filters[a.link.Part].request(a.link.Shard, x.s.opts.Latency)}
	w.ctx, w.cancel = context.WithCancel(x.s.ctx)
	x.watches[a] = w
	x.spawn(func(ctx context.Context) { x.keepReading(ctx, w) })
}

// leave has the watch end. The caller holds step.
func (w *watching) leave() {
	w.left.Store(true)
	w.cancel()
	if w.pushed {
		_ = w.watch.Close()
	}
}

// leaveAll does so with all that need no goroutine, at the end of the subscription.
// The caller holds step.
func (x *executor) leaveAll() {
	for _, w := range x.watches {
		w.leave()
	}
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
		return w.x.s.feedBy(nil, w.lost(err))
	}
	if !w.acked {
		return w.acknowledged()
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

// acknowledged starts following the watch: on the source's goroutine, if the source
// pushes frames, or else on this one.
func (w *watching) acknowledged() (next job) {
	s := w.x.s
	w.acked, w.req = true, nil
	s.nodeAnswered(nil, w.attempt.link)
	acked := func(e *engine.Engine, now time.Time) {
		e.Acked(now, w.attempt.link, w.attempt.epoch, w.watch.Node())
	}
	source, ok := w.watch.(pushWatch)
	if !ok {
		s.feed(acked)
		return w
	}
	s.feed(func(e *engine.Engine, now time.Time) {
		acked(e, now)
		if !w.left.Load() {
			w.pushed = true
			s.work.Add(1) // until it is lost
			w.cancel()    // the context ended the opening only, and costs as much as the rest
			w.ctx, w.cancel = nil, func() {}
		}
	})
	if !w.pushed { // the engine wants it no more
		s.feed(w.lost(context.Canceled))
		return ended{}
	}
	source.setListener(pushedWatch{w})
	return ended{}
}

// pushedWatch is a watch whose frames the source hands over.
type pushedWatch struct{ *watching }

func (w pushedWatch) receive(frame []msg.Notification, wait bool) bool {
	s := w.x.s
	if wait {
		s.step.Lock()
	} else if !s.step.TryLock() {
		return false
	}
	defer s.step.Unlock()
	s.apply(func(e *engine.Engine, now time.Time) { e.Frame(now, w.attempt.link, w.attempt.epoch, frame) })
	return true
}

func (w pushedWatch) lost(cause error) {
	defer w.x.s.work.Done()
	w.x.s.feed(w.watching.lost(cause))
}

// lost ends the watch; what it returns tells the engine.
func (w *watching) lost(cause error) input {
	if !w.left.Load() && w.x.s.ctx.Err() == nil {
		w.x.s.nodeAnswered(cause, w.attempt.link)
		w.x.s.disconnected(w, cause)
	}
	w.cancel()
	if w.watch != nil {
		_ = w.watch.Close()
	}
	return func(e *engine.Engine, now time.Time) {
		delete(w.x.watches, w.attempt)
		e.Lost(now, w.attempt.link, w.attempt.epoch, classify(cause))
	}
}
