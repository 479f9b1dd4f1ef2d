package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// writer makes history of some aggregates. Each change is asked for again until it
// is known to be done, whatever became of the answers.
type writer struct {
	sim    *sim
	name   string
	client msg.ID
	keys   []msg.Key
	pool   *pool.Pool
	chance *rand.Rand
}

func newWriter(s *sim, number int, keys []msg.Key) *writer {
	w := &writer{
		sim: s, name: fmt.Sprintf("writer %d", number), client: msg.IDFromUint64(uint64(900 + number)), keys: keys,
		chance: rand.New(rand.NewPCG(s.set.Seed, uint64(100+number))),
	}
	w.pool = s.newPool(w.name, pool.Options{})
	return w
}

// run makes a change now and then.
func (w *writer) run(ctx context.Context) {
	for range w.sim.set.Changes {
		w.rest(ctx)
		if ctx.Err() != nil {
			return
		}
		key := w.keys[w.chance.IntN(len(w.keys))]
		switch n := w.chance.IntN(100); {
		case n < 8:
			w.delete(ctx, key)
		case n < 18, n < 30 && w.sim.set.oversizes():
			w.trim(ctx, key)
		default:
			w.write(ctx, key)
		}
	}
}

// rest is short in a burst, longer as a rule, and a while now and then.
func (w *writer) rest(ctx context.Context) {
	spread := 300 * time.Millisecond
	switch n := w.chance.IntN(20); {
	case n < 8:
		spread = 3 * time.Millisecond
	case n == 19:
		spread = 6 * time.Second
	}
	_ = w.sim.when.nap(ctx, 10*time.Microsecond+time.Duration(w.chance.Int64N(int64(spread))), w.name)
}

// write appends a batch to one aggregate, or to several of its shard at once.
func (w *writer) write(ctx context.Context, first msg.Key) {
	var keys []msg.Key
	others := w.chance.IntN(3) - 1
	for _, key := range w.keys {
		if key == first || others > 0 && w.sim.shardOf(key) == w.sim.shardOf(first) && w.chance.IntN(2) == 0 {
			if w.sim.truth.writable(key) {
				keys = append(keys, key)
			}
		}
	}
	if len(keys) > 0 {
		w.put(ctx, keys, w.sim.set.oversizes())
	}
}

// put appends a batch to each of some aggregates; one may be too large to be read.
func (w *writer) put(ctx context.Context, keys []msg.Key, oversizes bool) {
	req := &msg.WriteRequest{ClientID: w.client}
	var entries []*entry
	for _, key := range keys {
		events, oversize := w.events(), oversizes && w.chance.IntN(40) == 0
		if oversize {
			events[0].Value = append(events[0].Value, w.bytes(2*int(w.sim.set.Node.MaxResponseSize))...)
		}
		e := w.sim.truth.issue(key, events, oversize)
		entries = append(entries, e)
		req.Writes = append(req.Writes, msg.AggregateWrite{Key: key, Events: e.events, EnforceIdempotency: true})
	}
	var version uint64
	w.insist(ctx, fmt.Sprintf("write %v", numbers(keys)), func() error {
		resp, err := w.pool.Write(ctx, req)
		if err == nil {
			version = resp.MaxVersion.Or(0)
		}
		if errors.Is(err, msg.ErrDuplicate) {
			w.sim.count("writes that an unknown answer hid")
			return nil
		}
		return err
	})
	if ctx.Err() != nil {
		return
	}
	for _, e := range entries {
		if problem := w.sim.truth.done(e, version); problem != "" {
			w.sim.failf("%s: %d: %s", w.name, number(e.key), problem)
		}
	}
}

func (w *writer) events() []msg.Event {
	events := make([]msg.Event, 1+w.chance.IntN(3))
	for i := range events {
		size := 8 + w.chance.IntN(60)
		if w.chance.IntN(10) == 0 {
			size += w.chance.IntN(3000)
		}
		events[i] = msg.Event{Value: append(make([]byte, 8), w.bytes(size-8)...), Major: uint64(1 + w.chance.IntN(3))}
	}
	return events
}

// bytes are such as cannot be compressed.
func (w *writer) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.chance.Uint64())
	}
	return b
}

func (w *writer) trim(ctx context.Context, key msg.Key) {
	if keepFrom := w.sim.truth.trim(key, w.chance.IntN); keepFrom > 0 {
		w.trimTo(ctx, key, keepFrom)
	}
}

func (w *writer) trimTo(ctx context.Context, key msg.Key, keepFrom uint64) {
	w.insist(ctx, fmt.Sprintf("trim %d to %d", number(key), keepFrom), func() error {
		return w.pool.TrimStart(ctx, &msg.TrimStartRequest{Key: key, KeepFrom: keepFrom, ClientID: w.client})
	})
}

// free trims away what is too large to be read, behind which everybody is parked.
func (w *writer) free(ctx context.Context) {
	for _, key := range w.keys {
		if !w.sim.truth.stuck(key) {
			continue
		}
		w.put(ctx, []msg.Key{key}, false)
		newest := func(n int) int { return n - 1 }
		if keepFrom := w.sim.truth.trim(key, newest); keepFrom > 0 {
			w.trimTo(ctx, key, keepFrom)
			w.sim.count("aggregates freed of a batch too large")
		}
	}
}

func (w *writer) delete(ctx context.Context, key msg.Key) {
	recreate, continuation := len(w.keys) < 3 || w.chance.IntN(15) > 0, w.chance.IntN(2) == 0
	if !w.sim.truth.remove(key, recreate, continuation) {
		return
	}
	issued := time.Now()
	w.insist(ctx, fmt.Sprintf("delete %d recreate %v continuation %v", number(key), recreate, continuation), func() error {
		err := w.pool.Delete(ctx, &msg.DeleteRequest{ClientID: w.client, Deletes: []msg.AggregateDelete{
			{Key: key, AllowRecreate: recreate, AllowSequenceContinuation: continuation},
		}})
		if err == nil || !errors.Is(err, msg.ErrNotFound) {
			return err
		}
		// An earlier attempt has deleted it, but that may not be safe yet.
		w.sim.count("deletes that an unknown answer hid")
		return w.listedAsDeleted(ctx, key, issued)
	})
	if ctx.Err() == nil {
		w.sim.truth.removed(key)
	}
}

var errNotListed = errors.New("not listed as deleted yet")

func (w *writer) listedAsDeleted(ctx context.Context, key msg.Key, since time.Time) error {
	for item, err := range w.pool.AtLeader().ListAggregates(ctx, pool.ListAggregatesOptions{Org: msg.Some(key.Org), Type: msg.Some(key.Type), IncludeDeleted: true}) {
		if err != nil {
			return err
		}
		if item.Key == key {
			if item.Deleted && (item.MaxServerTimestamp == 0 || int64(item.MaxServerTimestamp) >= since.UnixMilli()) {
				return nil
			}
			return errNotListed
		}
	}
	return errNotListed
}

// insist does something until it is done.
func (w *writer) insist(ctx context.Context, what string, do func() error) {
	w.sim.log.add(w.name, "%s", what)
	for try := 1; ; try++ {
		err := do()
		if err == nil {
			w.sim.log.add(w.name, "done: %s", what)
			return
		}
		if ctx.Err() != nil {
			return
		}
		w.sim.log.add(w.name, "%s: %v", what, err)
		w.sim.count("attempts of writers that failed")
		for _, hopeless := range []error{msg.ErrNotRecreatable, msg.ErrRouting, msg.ErrConflict, msg.ErrTrimmed, msg.ErrSchema, pool.ErrInvalid, pool.ErrTooLarge} {
			if errors.Is(err, hopeless) {
				w.sim.failf("%s: %s is refused: %v", w.name, what, err)
				return
			}
		}
		if try == 1000 {
			w.sim.failf("%s: %s still fails: %v", w.name, what, err)
			return
		}
		_ = w.sim.when.nap(ctx, 20*time.Millisecond+time.Duration(w.chance.Int64N(int64(200*time.Millisecond))), w.name)
	}
}
