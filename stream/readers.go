package stream

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// readerStays is how long a goroutine that has read waits for another read.
const readerStays = time.Second

// readers are the goroutines that read. A read needs a deep stack, which grows
// anew in each new goroutine and costs more than the rest of what is done here
// for a read; so one that has read stays a moment. To wake another goroutine costs
// about as much, so what follows from a read is done by whoever has read. The
// fields belong to whoever holds Subscription.step.
type readers struct {
	// idle are those that wait and have no job handed to them.
	idle int
	jobs chan job
	// offers: the reader that feeds the engine takes a job, which is then own.
	offers bool
	own    job
}

// taken is the job that the reader that feeds the engine has taken.
func (r *readers) taken() (next job) {
	next, r.own, r.offers = r.own, nil, false
	return next
}

// handOver has a job done.
func (x *executor) handOver(j job) {
	r := &x.readers
	if r.offers {
		r.own, r.offers = j, false
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
		if next = x.perform(ctx, next); next != nil {
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

// retire takes a goroutine out of those that wait. If all that wait have a job
// handed to them, it returns one.
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
