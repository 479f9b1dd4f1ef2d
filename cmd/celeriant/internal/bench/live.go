package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// sightLimit is how long a write may take to be read before the run fails.
const sightLimit = 10 * time.Second

// Live watches one fresh aggregate (organisation 1, type 3) without latency,
// writes batches of Events of Bytes to it at Rate for Duration, and reads the
// aggregate on each notification. An operation is one write that was read; its
// latency lasts from the begin of the write to the end of the read that shows
// it. AckToRead is the part behind the acknowledgement. One write at a time is
// on its way: the next one begins when the rate asks for it and the one before
// was read; if the latter is later, it counts as Late. The watch's connection
// comes on top of the pool's.
func Live(ctx context.Context, client *pool.Pool, o Options) (*Report, error) {
	err := o.check(o.checkConnections(), o.checkEvents(1), o.checkBytes(), o.checkDuration(), o.checkRate())
	if err != nil {
		return nil, err
	}
	if err := open(ctx, client, min(o.Connections, 2)); err != nil {
		return nil, err
	}
	key := fresh(3, rand.Uint64(), 0)
	watch, err := client.Watch(ctx, &msg.WatchRequest{
		Orgs: []msg.ID{key.Org}, Types: []msg.ID{key.Type}, Aggregates: []msg.ID{key.Aggregate}, Operations: []msg.Operation{msg.OpWrite},
	})
	if err != nil {
		return nil, err
	}
	defer watch.Close()
	l := &live{client: client, watch: watch, key: key, options: &o, maker: newMaker(o.Events, o.Bytes, 0), seen: make(chan sight, 1)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	err = runWorkers(ctx, 2, func(ctx context.Context, worker int) error {
		if worker == 0 {
			defer close(over)
			defer watch.Close() // ends the other
			return l.write(ctx)
		}
		err := l.read(ctx)
		select {
		case <-over:
			return nil // the writer closed the watch: all is done
		default:
			return err
		}
	})
	if err != nil {
		return nil, err
	}
	r := o.report("live", "writes that were read")
	r.fill(l.clock, &l.tally)
	r.AckToRead, r.ReadFirst, r.Late = latencyOf(&l.ackToRead), l.readFirst, l.late
	return r, nil
}

// sight says when a version was read.
type sight struct {
	version uint64
	at      time.Time
}

type live struct {
	client  *pool.Pool
	watch   *pool.Watch
	key     msg.Key
	options *Options
	maker   *maker
	seen    chan sight

	// Owned by the writer.
	clock           *clock
	tally           tally
	ackToRead       histogram
	readFirst, late uint64
}

// write writes at the rate and waits for each write to be read.
func (l *live) write(ctx context.Context) error {
	start := time.Now()
	measured := start.Add(l.options.Warmup)
	end := measured.Add(l.options.Duration)
	patience := time.NewTimer(sightLimit)
	defer patience.Stop()
	for n := 0; ; n++ {
		late, err := l.keepPace(ctx, start, n)
		if err != nil {
			return err
		}
		began := time.Now()
		if l.clock == nil && !began.Before(measured) {
			l.clock = startClock()
		}
		if !began.Before(end) {
			l.clock.stop()
			return nil
		}
		events := l.maker.next()
		version, err := l.client.WriteEvents(ctx, l.key, events, l.options.ClientID, pool.WriteOptions{})
		acknowledged := time.Now()
		if err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		read, err := l.sighted(ctx, version, patience)
		if err != nil {
			return err
		}
		if l.clock != nil {
			l.count(began, acknowledged, read, len(events), late)
		}
	}
}

// keepPace waits until the n-th write is due and reports whether it was before.
func (l *live) keepPace(ctx context.Context, start time.Time, n int) (bool, error) {
	if l.options.Rate == 0 {
		return false, nil
	}
	due := start.Add(time.Duration(float64(n) / l.options.Rate * float64(time.Second)))
	ahead := time.Until(due)
	if ahead <= 0 {
		return n > 0, nil
	}
	return false, wait(ctx, ahead)
}

// sighted waits for a version to be read.
func (l *live) sighted(ctx context.Context, version uint64, patience *time.Timer) (time.Time, error) {
	patience.Reset(sightLimit)
	for {
		select {
		case s := <-l.seen:
			if s.version >= version {
				return s.at, nil
			}
		case <-patience.C:
			return time.Time{}, fmt.Errorf("version %d of %v was written and not read within %v", version, l.key, sightLimit)
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

func (l *live) count(began, acknowledged, read time.Time, events int, late bool) {
	if read.Before(acknowledged) {
		l.readFirst++
	}
	if late {
		l.late++
	}
	l.ackToRead.add(read.Sub(acknowledged)) // negative ones count as 0
	l.tally.latency.add(read.Sub(began))
	l.tally.operations++
	l.tally.batches++
	l.tally.events += uint64(events)
	l.tally.bytes += uint64(events * l.maker.size)
}

// read reads the aggregate on each notification, up to the version it names.
func (l *live) read(ctx context.Context) error {
	last := uint64(0)
	req := msg.ReadRequest{Key: l.key}
	for {
		frame, err := l.watch.Next(ctx)
		if err != nil {
			return err
		}
		for i := range frame {
			for notified := frame[i].To.Or(0); last < notified; {
				req.Filters.From = last + 1
				page, err := l.client.Read(ctx, &req)
				if err != nil {
					return fmt.Errorf("reading: %w", err)
				}
				if len(page.Batches) == 0 {
					continue // the notification was ahead of what reads show
				}
				last = page.Batches[len(page.Batches)-1].Version
				select {
				case l.seen <- sight{last, time.Now()}:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
	}
}
