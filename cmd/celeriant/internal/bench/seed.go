package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Seed writes the shared data: Aggregates times Batches of Events of Bytes,
// over Connections. An operation is one acknowledged write. Every write
// expects the version before its own, so that data that is there already is a
// conflict and never grows. There is no warm-up but the opening of the
// connections.
func Seed(ctx context.Context, client *pool.Pool, o Options) (*Report, error) {
	err := o.check(o.checkConnections(), o.checkAggregates(), o.checkBatches(1), o.checkEvents(1), o.checkBytes())
	if err != nil {
		return nil, err
	}
	if err := open(ctx, client, o.Connections); err != nil {
		return nil, err
	}
	tallies := make([]tally, o.Connections)
	var next atomic.Uint64
	c := startClock()
	err = runWorkers(ctx, o.Connections, func(ctx context.Context, worker int) error {
		m, t := newMaker(o.Events, o.Bytes, uint64(worker)), &tallies[worker]
		for {
			n := next.Add(1) - 1
			if n >= uint64(o.Aggregates) {
				return nil
			}
			m.restart()
			if err := o.seedOne(ctx, client, seeded(n), m, t); err != nil {
				return err
			}
		}
	})
	c.stop()
	return o.total("seed", "writes", c, tallies), err
}

func (o *Options) seedOne(ctx context.Context, client *pool.Pool, key msg.Key, m *maker, t *tally) error {
	for version := range uint64(o.Batches) {
		events := m.next()
		began := time.Now()
		_, err := client.WriteEvents(ctx, key, events, o.ClientID, pool.WriteOptions{ExpectedVersion: msg.Some(version)})
		if err != nil {
			return fmt.Errorf("writing batch %d: %w", version+1, err)
		}
		t.latency.add(time.Since(began))
		t.operations++
		t.batches++
		t.events += uint64(len(events))
		t.bytes += uint64(len(events) * m.size)
	}
	return nil
}

// total makes a report of what the workers counted.
func (o *Options) total(bench, operation string, c *clock, tallies []tally) *Report {
	all := new(tally)
	for i := range tallies {
		all.merge(&tallies[i])
	}
	r := o.report(bench, operation)
	r.fill(c, all)
	return r
}

// open opens the connections a workload will use, each with a request that
// changes nothing: n at once need n connections.
func open(ctx context.Context, client *pool.Pool, n int) error {
	return runWorkers(ctx, n, func(ctx context.Context, _ int) error {
		if _, err := client.ListOrgsPage(ctx, &msg.ListOrgsRequest{}); err != nil {
			return fmt.Errorf("opening connections: %w", err)
		}
		return nil
	})
}
