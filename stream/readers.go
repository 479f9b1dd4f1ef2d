package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// readerStays is how long a goroutine that has read waits for another read.
const readerStays = time.Second

// readers are the goroutines that read. A read needs a deep stack, which grows
// anew in each new goroutine and costs more than all other work for a read; so a
// goroutine that has read stays a moment. Waking another goroutine costs about as
// much, so the goroutine that has read also does the work that follows from its read.
// Subscription.step guards the fields.
type readers struct {
	// idle counts the goroutines that wait and have no job handed to them.
	idle int
	jobs chan job
	// feeding is set while a reader feeds the engine: it takes the first job that comes
	// up, inline, itself.
	feeding bool
	inline  job
}

// takeInline returns the job that the reader has taken, and ends its feeding.
func (r *readers) takeInline() (next job) {
	next, r.inline, r.feeding = r.inline, nil, false
	return next
}

// handOver gives a job to the reader that feeds the engine, to an idle one, or to a new
// one.
func (x *executor) handOver(j job) {
	r := &x.readers
	if r.feeding {
		r.inline, r.feeding = j, false
		return
	}
	if r.idle > 0 {
		select {
		case r.jobs <- j:
			r.idle--
			return
		default:
		}
	}
	x.spawn(func(ctx context.Context) { x.keepReading(ctx, j) })
}

func (x *executor) keepReading(ctx context.Context, next job) {
	timer := time.NewTimer(readerStays)
	defer timer.Stop()
	for next != nil {
		if next = x.perform(ctx, next); next == (ended{}) {
			return
		}
		if next != nil {
			continue
		}
		timer.Reset(readerStays)
		select {
		case next = <-x.readers.jobs:
		case <-timer.C:
			next = x.retire(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// ended is the last job of a goroutine that waits for no other. A goroutine that has
// opened a watch ends: one for each shard of each of a process's many subscriptions
// would cost more, while all of them wait, than the stacks that they spare.
type ended struct{}

func (ended) ask(context.Context) error { return nil }

func (ended) answered(error) job { return nil }

// windUp does what was handed to readers that ended meanwhile, now that ctx has: a
// watch must be closed.
func (x *executor) windUp(ctx context.Context) {
	for {
		select {
		case next := <-x.readers.jobs:
			for next != nil {
				next = x.perform(ctx, next)
			}
		default:
			return
		}
	}
}

// retire takes a goroutine out of the idle ones. If every waiting goroutine has a job
// handed to it, retire returns one of these jobs.
func (x *executor) retire(ctx context.Context) (next job) {
	leaves := make(chan bool, 1)
	if !x.s.feed(func(*engine.Engine, time.Time) {
		leaves <- x.readers.idle > 0
		x.readers.idle = max(0, x.readers.idle-1)
	}) {
		return nil
	}
	if <-leaves {
		return nil
	}
	select {
	case next = <-x.readers.jobs:
		return next
	case <-ctx.Done():
		return nil
	}
}
