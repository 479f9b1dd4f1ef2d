package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// consumer follows a scope through one process after another, each of which has a
// pool and a subscription of its own and continues from the checkpoint.
type consumer struct {
	sim    *sim
	name   string
	scope  stream.Scope
	opts   stream.Options
	pool   pool.Options
	store  *flaky
	chance *rand.Rand
	judge  judge
	manner manner

	// views are what the present process was handed, handled what any process
	// has handled by the cursor it stood at then.
	views   map[msg.Key]view
	handled map[msg.Key]map[checkpoint.Cursor]view
	stored  map[msg.Key]checkpoint.Cursor // known to be stored
	before  view                          // the change in hand
	process int
	crowd   *process // paused past its lease, to be resumed beside its successor
	roaming *roaming // nil for a scope that stays as it is
	begin   beginning

	mu sync.Mutex
	// leaving is what may still be delivered while some of it is removed.
	leaving stream.Scope
	now     *process
	counts  map[stream.Kind]int
}

func newConsumer(s *sim, n int, scope stream.Scope, opts stream.Options, popts pool.Options) *consumer {
	c := &consumer{
		sim: s, name: fmt.Sprintf("consumer %d", n), scope: scope, opts: opts, pool: popts,
		chance:  rand.New(rand.NewPCG(s.set.Seed, uint64(200+n))),
		handled: make(map[msg.Key]map[checkpoint.Cursor]view), stored: make(map[msg.Key]checkpoint.Cursor),
		counts: make(map[stream.Kind]int),
	}
	c.store = &flaky{Store: checkpoint.NewMemory(), sim: s, who: c.name, chance: rand.New(rand.NewPCG(s.set.Seed, uint64(300+n)))}
	c.opts.Store, c.opts.Name = c.store, c.name
	c.store.saved = c.began
	c.behave(mannerOf(&s.set, n), n)
	c.judge = judge{
		truth: s.truth, continues: opts.Continuation == stream.ContinueOnly, quirks: s.set.Quirks,
		reliable: func() bool { return s.calm.Load() && time.Since(s.calmed) > time.Minute }, doubts: &s.doubts,
		parked: func() { s.count("oversize batches announced") },
	}
	return c
}

// behave gives the consumer its manner.
func (c *consumer) behave(m manner, number int) {
	c.manner = m
	if m.Roams {
		c.roaming = newRoaming(c.sim, number)
		c.scope = stream.Aggregates(pick(c.roaming.chance, c.sim.keys...))
		c.roaming.members = []stream.Scope{c.scope}
		c.opts.AdoptScope = true
	}
	if m.FromNow {
		c.opts.Start = stream.FromNow
		c.begin.since = make(map[msg.Key]time.Time)
	}
}

// follows reports whether an aggregate is to be delivered.
func (c *consumer) follows(key msg.Key) bool {
	return c.follow().Contains(key) && c.opts.Range.Contains(key)
}

// may reports whether it may be delivered.
func (c *consumer) may(key msg.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.scope.Contains(key) || c.leaving.Contains(key)) && c.opts.Range.Contains(key)
}

// run lives one process after another until ctx ends.
func (c *consumer) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.live(ctx)
		away := 5 * time.Second
		switch c.chance.IntN(6) {
		case 0:
			away = 90 * time.Second // minutes, as far as a run has them
		case 1, 2:
			away = 100 * time.Millisecond
		}
		if c.sim.calm.Load() {
			away = 100 * time.Millisecond
		}
		until, stop := context.WithCancel(ctx)
		halt := context.AfterFunc(c.sim.calming, stop)
		_ = c.sim.when.nap(until, time.Microsecond+time.Duration(c.chance.Int64N(int64(away))), c.name)
		halt()
		stop()
		_ = c.sim.when.doze(ctx, time.Microsecond, time.Millisecond, c.name)
	}
	if c.crowd != nil {
		c.stop(c.crowd)
	}
}

// live is one process: how it ends and how it consumes is a matter of chance.
func (c *consumer) live(ctx context.Context) {
	p := c.start(ctx)
	if p == nil {
		return
	}
	ends, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if !c.sim.calm.Load() {
		timer := time.AfterFunc(time.Microsecond+time.Duration(c.chance.Int64N(int64(20*time.Second))), func() { stop(errTime) })
		defer timer.Stop()
	}
	var roams sync.WaitGroup
	if c.roaming != nil {
		roams.Go(func() { c.roam(ends, p) })
	}
	way := c.chance.IntN(3)
	c.sim.log.add(c.name, "process %d starts, way %d", c.process, way)
	err := c.consume(ends, p, way)
	for errors.Is(err, errPanic) && c.chance.IntN(2) == 0 {
		c.sim.count("runs that went on behind a panic")
		err = c.consume(ends, p, way)
	}
	stop(nil)
	roams.Wait()
	c.sim.log.add(c.name, "process %d stops: %v", c.process, err)
	c.examineEnd(p, err)
	if way == 0 && errors.Is(err, errTime) && len(p.held) > 0 && c.crowd == nil && c.chance.IntN(2) == 0 {
		c.crowd = p // as if it had been paused: its successor does not know
		return
	}
	c.stop(p)
}

var (
	errTime    = errors.New("the process's time is over")
	errHandler = errors.New("the handler fails")
	errPanic   = errors.New("the handler panics")
	errCrash   = errors.New("the process crashes")
)

// examineEnd checks that a process ended for a reason that there was.
func (c *consumer) examineEnd(p *process, err error) {
	switch {
	case errors.Is(err, errTime), errors.Is(err, context.Canceled), errors.Is(err, errCrash), errors.Is(err, errPanic):
	case errors.Is(err, errHandler):
		if end := p.sub.Err(); end != nil && !errors.Is(end, errHandler) {
			c.sim.failf("%s: the handler failed, the subscription ended with %v (G15)", c.name, end)
		}
	default:
		c.sim.failf("%s: consuming ended with %v (G15)", c.name, err)
	}
}
