package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// ReadAll reads every batch of the first Aggregates of the shared data over
// Connections, one aggregate at a time on each, shard by shard, each connection
// beginning with another shard: a node takes time to move a connection between
// shards. An operation is one read request: a page as large as the node makes it,
// in memory that is used again. Every page is checked: versions
// without gaps, and as many batches of as many events as Batches and Events say,
// unless these are 0. Before the measurement aggregates are read for Warmup.
func ReadAll(ctx context.Context, client *pool.Pool, o Options) (*Report, error) {
	err := o.check(o.checkConnections(), o.checkAggregates(), o.checkBatches(0), o.checkEvents(0))
	if err != nil {
		return nil, err
	}
	if err := open(ctx, client, o.Connections); err != nil {
		return nil, err
	}
	shards, err := client.Shards(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the number of shards: %w", err)
	}
	until := time.Now().Add(o.Warmup)
	warm := o.Warmup > 0
	for warm {
		// A pass over everything, broken off when the time is over.
		_, _, err := readPass(ctx, client, &o, shards, func() bool { return !time.Now().Before(until) })
		if err != nil {
			return nil, err
		}
		warm = time.Now().Before(until)
	}
	c, tallies, err := readPass(ctx, client, &o, shards, func() bool { return false })
	if err != nil {
		return nil, err
	}
	return o.total("readall", "read requests", c, tallies), nil
}

// readPass reads each aggregate once, until done says so.
func readPass(ctx context.Context, client *pool.Pool, o *Options, shards uint64, done func() bool) (*clock, []tally, error) {
	tallies := make([]tally, o.Connections)
	left := newRemainder(uint64(o.Aggregates), shards)
	c := startClock()
	err := crew(ctx, o.Connections, func(ctx context.Context, worker int) error {
		r := &reader{client: client, tally: &tallies[worker], events: o.Events}
		shard := uint64(worker) % shards
		for !done() {
			n, ok := left.take(&shard)
			if !ok {
				return nil
			}
			if err := r.aggregate(ctx, seeded(n), uint64(o.Batches)); err != nil {
				return err
			}
		}
		return nil
	})
	c.stop()
	return c, tallies, err
}

// remainder is what is still to be read, shard by shard by the default routing
// rule.
type remainder struct {
	aggregates uint64
	next       []atomic.Uint64 // of each shard
}

func newRemainder(aggregates, shards uint64) *remainder {
	return &remainder{aggregates: aggregates, next: make([]atomic.Uint64, shards)}
}

// take returns an aggregate of the shard, or of the next one that has any left.
func (r *remainder) take(shard *uint64) (n uint64, ok bool) {
	shards := uint64(len(r.next))
	for range shards {
		if n := *shard + shards*(r.next[*shard].Add(1)-1); n < r.aggregates {
			return n, true
		}
		*shard = (*shard + 1) % shards
	}
	return 0, false
}

// reader reads aggregates one after the other.
type reader struct {
	client *pool.Pool
	tally  *tally
	events int
	req    msg.ReadRequest
	page   pool.Page
}

// aggregate reads one to its end: until the node names no next version.
func (r *reader) aggregate(ctx context.Context, key msg.Key, batches uint64) error {
	r.req.Key, r.req.Filters.From = key, 1
	version := uint64(0)
	for {
		began := time.Now()
		page := &r.page
		if err := r.client.ReadInto(ctx, &r.req, page); err != nil {
			return fmt.Errorf("reading the data of seed: %w", err)
		}
		r.tally.latency.add(time.Since(began))
		r.tally.operations++
		next, more := page.NextVersion.Get()
		for i := range page.Batches {
			batch := &page.Batches[i]
			if more && batch.Version >= next {
				continue // not to be trusted yet: the next page has it
			}
			if version++; batch.Version != version {
				return fmt.Errorf("reading %v: version %d where %d was expected", key, batch.Version, version)
			}
			if err := r.count(key, batch); err != nil {
				return err
			}
		}
		if !more {
			break
		}
		if next <= r.req.Filters.From {
			return fmt.Errorf("reading %v: next version %d after a page from %d", key, next, r.req.Filters.From)
		}
		r.req.Filters.From = next
	}
	if version == 0 || batches > 0 && version != batches {
		return fmt.Errorf("reading %v: %d batches, expected %d", key, version, max(batches, 1))
	}
	return nil
}

func (r *reader) count(key msg.Key, batch *msg.Batch) error {
	if r.events > 0 && len(batch.Events) != r.events {
		return fmt.Errorf("reading %v: version %d has %d events, expected %d", key, batch.Version, len(batch.Events), r.events)
	}
	r.tally.batches++
	r.tally.events += uint64(len(batch.Events))
	for i := range batch.Events {
		r.tally.bytes += uint64(len(batch.Events[i].Value))
	}
	return nil
}
