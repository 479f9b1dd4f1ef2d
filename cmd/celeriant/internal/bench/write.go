package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// The phases of a run that lasts for a time.
const (
	warming int32 = iota
	measuring
	finished
)

// Write appends batches of Events of Bytes for Duration: Writers at once over
// Connections, each to a fresh aggregate of its own (organisation 1, type 2),
// each as soon as the write before was acknowledged. An operation is one
// acknowledged write; those are counted whose acknowledgement arrives between
// the end of Warmup and the end of Duration. Writers beyond the connections
// wait in line, which is part of the latency.
func Write(ctx context.Context, client *pool.Pool, o Options) (*Report, error) {
	err := o.check(o.checkConnections(), o.checkWriters(), o.checkEvents(1), o.checkBytes(), o.checkDuration())
	if err != nil {
		return nil, err
	}
	if err := open(ctx, client, min(o.Connections, o.Writers)); err != nil {
		return nil, err
	}
	tallies := make([]tally, o.Writers)
	run := rand.Uint64()
	var phase atomic.Int32
	var c *clock
	err = runWorkers(ctx, o.Writers+1, func(ctx context.Context, worker int) error {
		if worker == o.Writers {
			var err error
			c, err = o.conduct(ctx, &phase)
			return err
		}
		w := &appender{client: client, clientID: o.ClientID, key: fresh(2, run, uint64(worker)), maker: newMaker(o.Events, o.Bytes, uint64(worker)), tally: &tallies[worker]}
		return w.run(ctx, &phase)
	})
	if err != nil {
		return nil, err
	}
	r := o.total("write", "writes", c, tallies)
	r.Writers = o.Writers
	return r, nil
}

// conduct leads a run through its phases.
func (o *Options) conduct(ctx context.Context, phase *atomic.Int32) (*clock, error) {
	if err := wait(ctx, o.Warmup); err != nil {
		return nil, err
	}
	c := startClock()
	phase.Store(measuring)
	err := wait(ctx, o.Duration)
	phase.Store(finished)
	c.stop()
	return c, err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// appender is one writer.
type appender struct {
	client   *pool.Pool
	clientID msg.ID
	key      msg.Key
	maker    *maker
	tally    *tally
}

func (w *appender) run(ctx context.Context, phase *atomic.Int32) error {
	for phase.Load() != finished {
		events := w.maker.next()
		began := time.Now()
		if _, err := w.client.WriteEvents(ctx, w.key, events, w.clientID, pool.WriteOptions{}); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		took := time.Since(began)
		if phase.Load() != measuring {
			continue
		}
		w.tally.latency.add(took)
		w.tally.operations++
		w.tally.batches++
		w.tally.events += uint64(len(events))
		w.tally.bytes += uint64(len(events) * w.maker.size)
	}
	return nil
}
