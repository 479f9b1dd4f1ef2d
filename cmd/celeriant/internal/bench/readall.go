package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// together is how many aggregates a connection reads at a time.
const together = 16

// ReadAll reads every batch of the first Aggregates of the shared data over
// Connections, 16 aggregates at a time on each, shard by shard, each connection
// beginning with another shard: a node takes time to move a connection between
// shards. An operation is one read request: a page as large as the node makes it,
// in memory that is used again. Requests are sent before the answers to those before
// them have come; the time of one is its share of that of those sent together. Every page is checked: versions
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
	err := runWorkers(ctx, o.Connections, func(ctx context.Context, worker int) error {
		r := newReader(client, o, &tallies[worker])
		shard := uint64(worker) % shards
		for !done() {
			var keys []msg.Key
			for len(keys) < together {
				n, ok := left.take(&shard)
				if !ok {
					break
				}
				keys = append(keys, seeded(n))
			}
			if len(keys) == 0 {
				return nil
			}
			if err := r.aggregates(ctx, keys); err != nil {
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

// reader reads aggregates, several at a time.
type reader struct {
	client  *pool.Pool
	tally   *tally
	batches uint64
	events  int
	chains  [together]chain
}

// chain is one aggregate on the way to its end.
type chain struct {
	pool.PageRead
	version uint64 // of the batches so far
}

func newReader(client *pool.Pool, o *Options, t *tally) *reader {
	return &reader{client: client, tally: t, batches: uint64(o.Batches), events: o.Events}
}

// aggregates reads each to its end: until the node names no next version.
func (r *reader) aggregates(ctx context.Context, keys []msg.Key) error {
	left := make([]*chain, len(keys))
	for i, key := range keys {
		left[i] = &r.chains[i]
		left[i].version = 0
		left[i].Request = msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}}
	}
	reads := make([]*pool.PageRead, 0, len(keys))
	for len(left) > 0 {
		reads = reads[:0]
		for _, c := range left {
			reads = append(reads, &c.PageRead)
		}
		began := time.Now()
		if err := r.client.ReadPages(ctx, reads); err != nil {
			return fmt.Errorf("reading the data of seed: %w", err)
		}
		share := time.Since(began) / time.Duration(len(reads))
		further := left[:0]
		for _, c := range left {
			r.tally.latency.add(share)
			r.tally.operations++
			more, err := r.page(c)
			if err != nil {
				return err
			}
			if more {
				further = append(further, c)
			}
		}
		left = further
	}
	return nil
}

// page checks a page and reports whether another one follows.
func (r *reader) page(c *chain) (more bool, err error) {
	key := c.Request.Key
	next, more := c.Page.NextVersion.Get()
	for i := range c.Page.Batches {
		batch := &c.Page.Batches[i]
		if more && batch.Version >= next {
			continue // not to be trusted yet: the next page has it
		}
		if c.version++; batch.Version != c.version {
			return false, fmt.Errorf("reading %v: version %d where %d was expected", key, batch.Version, c.version)
		}
		if err := r.count(key, batch); err != nil {
			return false, err
		}
	}
	switch {
	case more && next <= c.Request.Filters.From:
		return false, fmt.Errorf("reading %v: next version %d after a page from %d", key, next, c.Request.Filters.From)
	case more:
		c.Request.Filters.From = next
	case c.version == 0 || r.batches > 0 && c.version != r.batches:
		return false, fmt.Errorf("reading %v: %d batches, expected %d", key, c.version, max(r.batches, 1))
	}
	return more, nil
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
