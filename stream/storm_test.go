package stream_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// A storm: random writes, trims, deletes and recreations of both kinds, while
// the subscription's connections are cut, the node is restarted and the
// consumer is thrown away and resumed from its checkpoint. At the end the
// consumer must hold exactly what the node holds.
//
//covers:g1 g3 cuts
func TestStorm(t *testing.T) {
	for _, c := range []struct {
		name   string
		shards int
		quirks bool
		node   celerianttest.Options
		scope  stream.Scope
		opts   stream.Options
		steps  int // 4000 if it is not set
	}{
		{name: "one shard, a type", shards: 1, scope: stream.Types(org, typ)},
		{name: "one shard, quirks", shards: 1, quirks: true, scope: stream.Types(org, typ)},
		{name: "four shards, everything, quirks", shards: 4, quirks: true, scope: stream.Everything()},
		{name: "three shards, aggregates, quirks", shards: 3, quirks: true, scope: stream.Aggregates(storms()...)},
		{name: "latency, small pages, small buffer", shards: 2, quirks: true, scope: stream.Orgs(org),
			node: celerianttest.Options{MaxResponseSize: 24 << 10, SegmentBytes: 16 << 10, ListPageSize: 2},
			opts: stream.Options{Latency: 20 * time.Millisecond, Buffer: 8 << 10, Readers: 3}},
		{name: "continue only", shards: 1, quirks: true, scope: stream.Types(org, typ), opts: stream.Options{Continuation: stream.ContinueOnly}},
		// A change is acknowledged when it can be read, so there are fewer.
		{name: "notifications ahead of reads, quirks", shards: 1, quirks: true, scope: stream.Types(org, typ), steps: 200,
			node: celerianttest.Options{ReadLag: 500 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds(3) {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					c.node.Shards, c.node.Quirks, c.node.Seed = c.shards, c.quirks, seed
					// A page too large to be sent shows only by silence, and the cutter
					// leaves none long enough to be noticed: compressed they all fit.
					runStorm(t, newWorld(t, c.node, pool.Options{RequestTimeout: time.Second, CompressLoopback: true}), c.scope, c.opts, seed, steps(cmp.Or(c.steps, stormSteps)))
				})
			}
		})
	}
}

const (
	stormKeys  = 10
	stormSteps = 4000
)

// seeds is how many storms of a kind pass: one with -short.
func seeds(all uint64) uint64 {
	if testing.Short() {
		return 1
	}
	return all
}

// steps is how many steps a storm takes: a quarter with -short.
func steps(all int) int {
	if testing.Short() {
		return all / 4
	}
	return all
}

func storms() []msg.Key {
	keys := make([]msg.Key, stormKeys)
	for i := range keys {
		keys[i] = keyOf(i)
	}
	return keys
}

// truth is what the writer knows of one aggregate's present life.
type truth struct {
	batches []held
	floor   uint64
	deleted bool
	fresh   bool // the next write begins another life
}

type held struct {
	version uint64
	payload string
}

// The same storm on the server that CELERIANT_TEST_ADDR names, or on a node
// with quirks where none is named.
func TestStormOnNamedServer(t *testing.T) {
	for name, scope := range map[string]func() stream.Scope{
		"type":         func() stream.Scope { return stream.Types(org, typ) },
		"aggregates":   func() stream.Scope { return stream.Aggregates(storms()...) },
		"organisation": func() stream.Scope { return stream.Orgs(org) },
	} {
		for seed := range seeds(2) {
			t.Run(fmt.Sprint(name, " seed ", seed), func(t *testing.T) {
				// Each storm has aggregates of its own: the server keeps those of the
				// storms before.
				org = newOrg()
				if address := os.Getenv("CELERIANT_TEST_ADDR"); address != "" {
					runStorm(t, worldAt(t, address, pool.Options{}), scope(), stream.Options{}, seed, steps(stormSteps))
					return
				}
				w := newWorld(t, celerianttest.Options{Shards: 2, Quirks: true, Seed: seed}, pool.Options{})
				runStorm(t, w, scope(), stream.Options{}, seed, steps(stormSteps))
			})
		}
	}
}

func runStorm(t *testing.T, w *world, scope stream.Scope, o stream.Options, seed uint64, steps int) {
	store := checkpoint.NewMemory()
	o.Store, o.Name = store, "storm"
	var errMu sync.Mutex
	consumer := newConsumer()
	consumer.continues = o.Continuation == stream.ContinueOnly

	ctx, cancel := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() { // the consumer, thrown away now and then
		rng := rand.New(rand.NewPCG(seed, 2))
		for ctx.Err() == nil {
			if err := consume(ctx, w.source(), scope, o, consumer, rng); err != nil {
				errMu.Lock()
				t.Error(err)
				errMu.Unlock()
				return
			}
		}
	})
	var calming atomic.Bool
	background.Go(func() { // the cutter
		rng := rand.New(rand.NewPCG(seed, 3))
		pause := 3 * time.Millisecond
		for ctx.Err() == nil {
			w.cut.cutSome(rng, 0.3)
			if calming.Load() {
				// However slow the machine, some reads get through in the end.
				pause += pause / 8
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause + time.Duration(rng.IntN(30))*time.Millisecond):
			}
		}
	})

	truths := writeUntil(t, w, seed, steps, func() bool { return w.cut.cuts.Load() >= 5 && consumer.livesTwice() })
	calming.Store(true)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		problem := consumer.differs(truths)
		if problem == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Error(problem)
			break
		}
		select {
		case <-consumer.moved:
		case <-time.After(50 * time.Millisecond):
		}
	}
	cancel()
	background.Wait()
	if w.cut.cuts.Load() < 5 || !consumer.livesTwice() {
		t.Errorf("too quiet: %d cuts, %d runs, %d changes", w.cut.cuts.Load(), consumer.runs, consumer.applied)
	}
}

func writeSteps(t *testing.T, w *world, seed uint64, steps int) map[msg.Key]*truth {
	return writeUntil(t, w, seed, steps, func() bool { return true })
}

// writeUntil takes so many steps, and more until enough has happened: on a quick machine
// they may be over within one life of the consumer.
func writeUntil(t *testing.T, w *world, seed uint64, steps int, enough func() bool) map[msg.Key]*truth {
	rng := rand.New(rand.NewPCG(seed, 1))
	truths := make(map[msg.Key]*truth)
	for step := 0; step < steps || step < 100*steps && !enough(); step++ {
		key := keyOf(rng.IntN(stormKeys))
		x := truths[key]
		if x == nil {
			x = &truth{floor: 1}
			truths[key] = x
		}
		switch n := rng.IntN(100); {
		case n < 6 && len(x.batches) > 0 && !x.deleted:
			continuation := rng.IntN(2) == 0
			w.delete(key, true, continuation)
			x.deleted, x.fresh = true, !continuation
		case n < 14 && len(x.batches) > 0 && !x.deleted:
			k := x.batches[rng.IntN(len(x.batches))].version
			w.trim(key, k)
			x.floor = max(x.floor, k)
		default:
			payload := fmt.Sprintf("%d.%d.%s", seed, step, strings.Repeat("x", rng.IntN(200)))
			version := w.write(key, payload)
			if x.deleted {
				x.floor = 1
				if x.fresh {
					x.batches = nil
				}
				x.deleted, x.fresh = false, false
			}
			x.batches = append(x.batches, held{version, payload})
		}
		if step%(steps/4) == steps/4-1 && w.node != nil {
			if err := w.node.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		if rng.IntN(8) == 0 {
			time.Sleep(time.Millisecond) // let the notifications of a burst differ
		}
	}
	return truths
}

// consumer is a read model: what it was told of each aggregate's present life.
type consumer struct {
	mu      sync.Mutex
	models  map[msg.Key]*model
	applied int
	runs    int
	// continues: what was built survives a Deleted that is continued.
	continues bool
	moved     chan struct{}
}

type model struct {
	life    uint64
	version uint64
	deleted bool
	batches []held
	lost    []stream.Change
}

// livesTwice tells that the consumer was thrown away and began again, and was told of changes.
func (c *consumer) livesTwice() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs >= 2 && c.applied > 0
}

func newConsumer() *consumer {
	return &consumer{models: make(map[msg.Key]*model), moved: make(chan struct{}, 1)}
}

// consume runs one subscription for a random time: it is then abandoned with
// changes in hand, as a crash would.
func consume(ctx context.Context, src stream.Source, scope stream.Scope, o stream.Options, c *consumer, rng *rand.Rand) error {
	s, err := stream.Open(ctx, src, scope, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() {
		done, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Close(done)
	}()
	c.mu.Lock()
	c.runs++
	c.mu.Unlock()
	life, cancel := context.WithTimeout(ctx, time.Duration(50+rng.IntN(700))*time.Millisecond)
	defer cancel()
	for {
		changes, err := s.Next(life)
		if err != nil {
			if life.Err() != nil {
				return nil
			}
			return err
		}
		if rng.IntN(30) == 0 {
			return nil // crashed before anything of it took effect
		}
		if err := c.apply(changes); err != nil {
			return err
		}
		if err := s.Commit(context.WithoutCancel(ctx), stream.Entries(changes)); err != nil {
			return err
		}
	}
}

func (c *consumer) apply(changes []stream.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		c.applied++
		if change.Kind == stream.CaughtUp {
			continue
		}
		m := c.models[change.Key]
		if m == nil {
			m = &model{}
			c.models[change.Key] = m
		}
		if err := m.apply(change, c.continues); err != nil {
			return err
		}
	}
	select {
	case c.moved <- struct{}{}:
	default:
	}
	return nil
}

func (m *model) apply(c stream.Change, continues bool) error {
	if m.deleted && (c.Kind == stream.Batch || c.Kind == stream.Truncated) {
		if continues && c.Kind == stream.Batch && c.Batch.Version > m.version {
			m.life, m.deleted = m.life+1, false
		} else {
			*m = model{life: m.life + 1}
		}
	}
	switch c.Kind {
	case stream.Batch:
		if c.Cursor.Life != m.life || c.Batch.Version <= m.version {
			return fmt.Errorf("%v at %v came after life %d version %d", &c, c.Cursor, m.life, m.version)
		}
		m.version = c.Batch.Version
		m.batches = append(m.batches, held{c.Batch.Version, string(c.Batch.Events[0].Value)})
	case stream.Truncated:
		if c.Cursor.Life != m.life || c.From <= m.version || c.To < c.From {
			return fmt.Errorf("%v at %v came after life %d version %d", &c, c.Cursor, m.life, m.version)
		}
		m.version = c.To
		m.lost = append(m.lost, c)
	case stream.Deleted:
		if m.deleted || c.Cursor.Life != m.life {
			return fmt.Errorf("%v at %v came in life %d, deleted %v", &c, c.Cursor, m.life, m.deleted)
		}
		m.deleted = true
	case stream.Reset:
		if c.Cursor.Life != m.life+1 || m.deleted {
			return fmt.Errorf("%v at %v came in life %d, deleted %v", &c, c.Cursor, m.life, m.deleted)
		}
		*m = model{life: c.Cursor.Life}
	default:
		return errors.New("unexpected " + c.String())
	}
	return nil
}

// differs says how the consumer's state differs from the truth, "" if not.
func (c *consumer) differs(truths map[msg.Key]*truth) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, x := range truths {
		m := c.models[key]
		if m == nil {
			m = &model{}
		}
		if problem := m.differs(x); problem != "" {
			return fmt.Sprintf("%v: %s", key.Aggregate, problem)
		}
	}
	return ""
}

func (m *model) differs(x *truth) string {
	if x.deleted {
		if !m.deleted && len(m.batches) > 0 {
			return fmt.Sprintf("deleted, but the consumer holds %d batches", len(m.batches))
		}
		return ""
	}
	if m.deleted && len(x.batches) > 0 {
		return "alive, but deleted for the consumer"
	}
	for _, h := range m.batches {
		if !slices.Contains(x.batches, h) {
			return fmt.Sprintf("version %d of the consumer is not the truth's", h.version)
		}
	}
	for _, h := range x.batches {
		if h.version >= x.floor && !slices.Contains(m.batches, h) && !m.announced(h.version) {
			return fmt.Sprintf("version %d is missing; the consumer stands at %d", h.version, m.version)
		}
	}
	return ""
}

func (m *model) announced(version uint64) bool {
	return slices.ContainsFunc(m.lost, func(c stream.Change) bool { return c.From <= version && version <= c.To })
}
