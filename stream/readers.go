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
// for a read; so one that has read stays a moment. The fields belong to
// whoever holds Subscription.step.
type readers struct {
	// idle are those that wait and have no read handed to them.
	idle int
	jobs chan func(ctx context.Context)
}

// handOver has a read done, which must say at its end, in a step, that its
// goroutine is idle.
func (x *executor) handOver(read func(ctx context.Context)) {
	if x.readers.idle > 0 {
		select {
		case x.readers.jobs <- read:
			x.readers.idle--
			return
		default:
		}
	}
	x.spawn(func(ctx context.Context) { x.keepReading(ctx, read) })
}

func (x *executor) keepReading(ctx context.Context, read func(ctx context.Context)) {
	timer := time.NewTimer(readerStays)
	defer timer.Stop()
	for read != nil {
		read(ctx)
		timer.Reset(readerStays)
		select {
		case read = <-x.readers.jobs:
		case <-timer.C:
			read = x.retire(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// retire takes a goroutine out of those that wait. If all that wait have a read
// handed to them, it returns one.
func (x *executor) retire(ctx context.Context) (read func(ctx context.Context)) {
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
	case read = <-x.readers.jobs:
		return read
	case <-ctx.Done():
		return nil
	}
}
