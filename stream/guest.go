package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// A consumer that waits in Next reads itself what is to be read next: to wake it only
// when somebody else has read would put its waking behind the read. It never waits for
// its read longer than its context, the subscription or what others have read
// meanwhile allow: then the read is somebody else's.

const (
	// guestPatience is how long a consumer goes on with its read while something else
	// waits for it.
	guestPatience = 5 * time.Millisecond
	// guestPause is for how long a consumer whose read was interrupted makes none: each
	// costs a connection.
	guestPause = time.Second
)

// guest is the consumer as a reader. It has a read at most at a time. Fields belong to
// whoever holds Subscription.step, the contexts to the consumer's goroutine.
type guest struct {
	waits bool // and takes a read
	reads chan *reading
	// interrupt ends the read under way, nil while there is none; hurry is the timer that
	// calls it, because something else waits.
	interrupt context.CancelFunc
	hurry     *time.Timer
	notBefore time.Time // of the next read, after an interrupted one

	at     *reading
	asked  context.Context // that ctx was made of
	ctx    context.Context // ends with that of the consumer and with the subscription
	cancel context.CancelFunc
}

// offer gives a read to the consumer; false if it takes none. Reads that say more than
// what one node shows are not given.
func (g *guest) offer(j job) bool {
	r, ok := j.(*reading)
	if !ok || !g.waits || r.word || r.fresh || r.node == "" {
		return false
	}
	g.waits = false
	g.reads <- r
	return true
}

// pressed has the read under way interrupted soon: something else waits for the consumer.
func (g *guest) pressed() {
	if g.interrupt != nil && g.hurry == nil {
		g.hurry = time.AfterFunc(guestPatience, g.interrupt)
	}
}

// takeOrRead returns the oldest delivery, or the cause of the end. While it waits for one
// it reads. hold is the mailbox's.
func (s *Subscription) takeOrRead(ctx context.Context, hold bool) (delivery, error) {
	g := &s.executor.guest
	for {
		if p, ok, err := s.box.poll(hold); ok || err != nil {
			return p, err
		}
		s.step.Lock()
		g.waits = !s.over && (g.notBefore.IsZero() || time.Now().After(g.notBefore))
		s.step.Unlock()
		select {
		case r := <-g.reads:
			g.read(s, ctx, r)
			continue
		case <-s.box.wake:
		case <-ctx.Done():
		}
		s.step.Lock()
		g.waits = false
		select {
		case r := <-g.reads:
			s.executor.handOver(r)
		default:
		}
		s.step.Unlock()
		if ctx.Err() != nil {
			return delivery{}, context.Cause(ctx)
		}
	}
}

// read makes a read on the consumer's goroutine.
func (g *guest) read(s *Subscription, ctx context.Context, r *reading) {
	if g.asked != ctx || g.ctx.Err() != nil {
		g.follow(s, ctx)
	}
	g.at = r
	s.step.Lock()
	g.interrupt = g.cancel
	s.step.Unlock()
	s.executor.perform(g.ctx, g)
}

// follow makes the context of reads, once for each context of the consumer's.
func (g *guest) follow(s *Subscription, ctx context.Context) {
	if g.cancel != nil {
		g.cancel()
	}
	reads, cancel := context.WithCancel(ctx)
	unbind := context.AfterFunc(s.ctx, cancel)
	g.asked, g.ctx, g.cancel = ctx, reads, func() { unbind(); cancel() }
}

func (g *guest) ask(ctx context.Context) error { return g.at.ask(ctx) }

// answered feeds the engine; what follows is for others to do, the consumer has its
// changes to handle. A read that was interrupted is made by somebody else.
func (g *guest) answered(err error) (next job) {
	r := g.at
	s := r.x.s
	g.at = nil
	interrupted := err != nil && g.ctx.Err() != nil
	if !interrupted {
		r.noted(err)
	}
	s.step.Lock()
	defer s.step.Unlock()
	g.interrupt = nil
	if g.hurry != nil {
		g.hurry.Stop()
		g.hurry = nil
	}
	switch {
	case !interrupted:
		s.apply(func(e *engine.Engine, now time.Time) { r.tell(e, now, err) })
	case s.ctx.Err() == nil:
		g.notBefore = time.Now().Add(guestPause)
		s.executor.handOver(r)
	}
	return nil
}
