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

	// views are what the present process was handed, handled what any process
	// has handled by the cursor it stood at then.
	views   map[msg.Key]view
	handled map[msg.Key]map[checkpoint.Cursor]view
	stored  map[msg.Key]checkpoint.Cursor // known to be stored
	process int
	crowd   *process // paused past its lease, to be resumed beside its successor

	mu     sync.Mutex
	now    *process
	counts map[stream.Kind]int
}

// process is one life of a consumer.
type process struct {
	who    string
	pool   *pool.Pool // nil where the source is shared
	source *unhurried
	sub    *stream.Subscription
	held   []checkpoint.Entry // not stored yet

	mu    sync.Mutex
	phase stream.Phase
	// catching says, of each catching up that led or will lead to Live, when the
	// watches of each shard were acknowledged.
	catching []map[uint64]time.Time
	caught   int // CaughtUps taken
	lost     int
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
	c.judge = judge{
		truth: s.truth, continues: opts.Continuation == stream.ContinueOnly, quirks: s.set.Quirks,
		reliable: func() bool { return s.calm.Load() && time.Since(s.calmed) > time.Minute }, doubts: &s.doubts, unreadable: &s.unreadables,
	}
	return c
}

// follows reports whether an aggregate is to be delivered.
func (c *consumer) follows(key msg.Key) bool {
	return c.scope.Contains(key) && c.opts.Range.Contains(key)
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
	var err error
	way := c.chance.IntN(3)
	c.sim.log.add(c.name, "process %d starts, way %d", c.process, way)
	switch way {
	case 0:
		err = c.pull(ends, p)
	case 1:
		err = p.sub.Run(ends, c.handle(p))
	case 2:
		for change, failure := range p.sub.All(ends) {
			if err = failure; err == nil {
				err = c.handle(p)(ends, change)
			}
			if err != nil {
				break
			}
		}
	}
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
	errCrash   = errors.New("the process crashes")
)

// examineEnd checks that a process ended for a reason that there was.
func (c *consumer) examineEnd(p *process, err error) {
	switch {
	case errors.Is(err, errTime), errors.Is(err, context.Canceled), errors.Is(err, errCrash):
	case errors.Is(err, errHandler):
		if end := p.sub.Err(); end != nil && !errors.Is(end, errHandler) {
			c.sim.failf("%s: the handler failed, the subscription ended with %v (G15)", c.name, end)
		}
	default:
		c.sim.failf("%s: consuming ended with %v (G15)", c.name, err)
	}
}

// start opens a subscription and goes back to what is stored.
func (c *consumer) start(ctx context.Context) *process {
	c.process++
	p := &process{who: fmt.Sprintf("%s.%d", c.name, c.process)}
	if c.sim.shared != nil {
		p.source = newUnhurried(c.sim, p.who, c.sim.shared)
	} else {
		p.pool = c.sim.newPool(p.who, c.pool)
		p.source = newUnhurried(c.sim, p.who, stream.FromPool(p.pool))
	}
	opts := c.opts
	opts.OnState = func(s stream.State) { c.state(p, s) }
	for {
		sub, err := stream.Open(ctx, p.source, c.scope, opts)
		if err == nil {
			p.sub = sub
			break
		}
		if ctx.Err() != nil {
			c.closePool(context.Background(), p)
			return nil
		}
		if !errors.Is(err, errStore) {
			c.sim.failf("%s: opening: %v", c.name, err)
			c.closePool(context.Background(), p)
			return nil
		}
		_ = c.sim.when.nap(ctx, 10*time.Millisecond+time.Duration(c.chance.Int64N(int64(time.Second))), c.name)
	}
	c.goBack()
	c.mu.Lock()
	c.now = p
	c.mu.Unlock()
	if c.crowd != nil {
		c.resumeZombie(ctx)
	}
	return p
}

// goBack makes the views those of the stored cursors. A stored cursor must be
// one that was handled, and no older than what a save has confirmed (G11).
func (c *consumer) goBack() {
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	c.views = make(map[msg.Key]view)
	for entry, err := range c.store.Store.Scan(context.Background(), c.name) {
		if err != nil {
			c.sim.failf("%s: scanning: %v", c.name, err)
			return
		}
		v, known := c.handled[entry.Key][entry.Cursor]
		if !known {
			c.sim.failf("%s: the cursor %v of %d was stored and never handled (G11)", c.name, entry.Cursor, number(entry.Key))
			return
		}
		if before := c.stored[entry.Key]; entry.Cursor.Compare(before) < 0 {
			c.sim.failf("%s: the stored cursor of %d went back from %v to %v", c.name, number(entry.Key), before, entry.Cursor)
		}
		v.unreadable = 0
		c.views[entry.Key] = v
	}
}

// resumeZombie lets the process before commit what it held: the fence refuses it.
func (c *consumer) resumeZombie(ctx context.Context) {
	p := c.crowd
	c.crowd = nil
	_ = c.sim.when.nap(ctx, time.Microsecond+time.Duration(c.chance.Int64N(int64(time.Second))), c.name)
	err := p.sub.Commit(ctx, p.held)
	switch {
	case ctx.Err() != nil:
	case !errors.Is(err, checkpoint.ErrFenced):
		c.sim.failf("%s: the commit of a deposed owner ended with %v (G12)", c.name, err)
	case !errors.Is(p.sub.Err(), checkpoint.ErrFenced):
		c.sim.failf("%s: a deposed owner ended with %v (G15)", c.name, p.sub.Err())
	default:
		c.sim.count("deposed owners refused")
	}
	c.stop(p)
}

// stop ends a process for good: Close keeps its deadline and leaves nothing.
func (c *consumer) stop(p *process) {
	ended := p.sub.Err()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.sub.Close(ctx); err != nil {
		c.sim.failf("%s: closing: %v (G14)", c.name, err)
	}
	if end := p.sub.Err(); end == nil || ended == nil && !errors.Is(end, stream.ErrClosed) || ended != nil && !errors.Is(end, ended) {
		c.sim.failf("%s: it ended with %v, then with %v (G15)", c.name, ended, end)
	}
	c.closePool(ctx, p)
}

// closePool closes what is the process's own.
func (c *consumer) closePool(ctx context.Context, p *process) {
	if p.pool == nil {
		return
	}
	if err := p.pool.Close(ctx); err != nil {
		c.sim.failf("%s: closing the pool: %v (G14)", c.name, err)
	}
	if left := c.sim.net.some(func(l *link) bool { return l.who == p.who }); len(left) > 0 {
		c.sim.failf("%s: %d connections are left open (G14)", c.name, len(left))
	}
}

// pull consumes by Next and Commit.
func (c *consumer) pull(ctx context.Context, p *process) error {
	for {
		changes, err := p.sub.Next(ctx)
		if err != nil {
			return err
		}
		for _, change := range changes {
			if err := c.take(p, &change); err != nil {
				return err
			}
		}
		c.busy(ctx)
		if c.misfortune(40) {
			return errCrash
		}
		p.held = stream.Entries(changes)
		if c.misfortune(40) {
			return errTime // with changes in hand that are handled and not stored
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.finish(changes)
		if err := p.sub.Commit(ctx, p.held); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		c.confirm(p.held)
		p.held = nil
	}
}

// handle consumes change by change.
func (c *consumer) handle(p *process) func(context.Context, stream.Change) error {
	return func(ctx context.Context, change stream.Change) error {
		if err := c.take(p, &change); err != nil {
			return err
		}
		c.busy(ctx)
		if c.misfortune(150) {
			return errHandler
		}
		c.finish([]stream.Change{change})
		return nil
	}
}

func (c *consumer) misfortune(odds int) bool {
	return !c.sim.calm.Load() && c.chance.IntN(odds) == 0
}

// busy is how long handling takes: nothing, as a rule a little, seldom long.
func (c *consumer) busy(ctx context.Context) {
	spread := 200 * time.Microsecond
	if !c.sim.calm.Load() {
		switch n := c.chance.IntN(100); {
		case n < 10:
			spread = 50 * time.Millisecond
		case n == 99:
			spread = 8 * time.Second
		}
	}
	_ = c.sim.when.nap(ctx, time.Microsecond+time.Duration(c.chance.Int64N(int64(spread))), c.name)
}

// take judges a change.
func (c *consumer) take(p *process, change *stream.Change) error {
	c.mu.Lock()
	c.counts[change.Kind]++
	c.mu.Unlock()
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	if change.Kind == stream.CaughtUp {
		c.sim.log.add(p.who, "caught up")
		c.caughtUp(p)
		return nil
	}
	c.sim.log.add(p.who, "%d: %v, %v", number(change.Key), change.Kind, change.Cursor)
	if !c.follows(change.Key) {
		c.sim.failf("%s: %d is not in the scope", c.name, number(change.Key))
	}
	v := c.views[change.Key]
	before := v
	if problem := c.judge.apply(&v, change); problem != "" {
		c.sim.failf("%s: %d: %v behind %v: %s", p.who, number(change.Key), change.Kind, before.cursor, problem)
	}
	c.views[change.Key] = v
	return nil
}

// finish notes changes as handled.
func (c *consumer) finish(changes []stream.Change) {
	for i := range changes {
		key := changes[i].Key
		if !changes[i].Moves() {
			continue
		}
		if c.handled[key] == nil {
			c.handled[key] = make(map[checkpoint.Cursor]view)
		}
	}
	for i := range changes {
		// The views have gone on to the last change of each aggregate; only that
		// one's cursor is stored.
		if v := c.views[changes[i].Key]; changes[i].Moves() && v.cursor == changes[i].Cursor {
			c.handled[changes[i].Key][v.cursor] = v
		}
	}
}

func (c *consumer) confirm(entries []checkpoint.Entry) {
	for _, e := range entries {
		c.stored[e.Key] = e.Cursor
	}
}

// state follows what the subscription says of itself.
func (c *consumer) state(p *process, s stream.State) {
	c.sim.log.add(p.who+" state", "%v", s.Phase)
	p.mu.Lock()
	defer p.mu.Unlock()
	acked := p.source.acknowledged()
	switch s.Phase {
	case stream.CatchingUp:
		if p.phase == stream.Live || len(p.catching) == 0 {
			p.catching = append(p.catching, acked)
		} else if p.phase != stream.CatchingUp {
			p.catching[len(p.catching)-1] = acked
		}
	case stream.Reconnecting:
		if p.phase == stream.Live {
			p.catching = append(p.catching, acked)
			c.sim.count("shards lost while live")
		}
		p.lost++
	}
	p.phase = s.Phase
}

// caughtUp checks G7: what was acknowledged before the catching up began has
// been delivered.
func (c *consumer) caughtUp(p *process) {
	p.mu.Lock()
	n := p.caught
	p.caught++
	var by map[uint64]time.Time
	if n < len(p.catching) {
		by = p.catching[n]
	}
	p.mu.Unlock()
	if by == nil {
		c.sim.failf("%s: CaughtUp number %d without catching up", p.who, n+1)
		return
	}
	for key, f := range c.sim.truth.facts {
		if !c.follows(key) {
			continue
		}
		v := c.views[key]
		if problem := c.judge.behind(f, &v, by[c.sim.shardOf(key)]); problem != "" {
			c.sim.failf("%s: caught up with all until %v, but of %d %s (G7)", p.who, by[c.sim.shardOf(key)].Sub(c.sim.log.began), number(key), problem)
		}
	}
}

// stale checks G10: nobody is Live who has not heard of a watch for 15 s.
func (c *consumer) stale() {
	p := c.present()
	if p == nil {
		return
	}
	p.mu.Lock()
	live := p.phase == stream.Live
	p.mu.Unlock()
	if quiet := p.source.quiet(); live && quiet > 15*time.Second+100*time.Millisecond {
		c.sim.failf("%s is live, and has heard nothing of a watch for %v (G10)", p.who, quiet)
	}
}

// misplaced checks that a node that was deposed without a sign has been left: of
// its watches none is elsewhere than at the leader, unless a follower was asked for.
func (c *consumer) misplaced() {
	if c.sim.pair == nil || c.opts.Followers {
		return
	}
	leader := c.sim.pair.Leader()
	for _, node := range c.present().source.nodes() {
		if leader == nil || leader.Addr() != node {
			c.sim.failf("%s watches %s, which does not lead (G10)", c.present().who, node)
		}
	}
}

// differs says how the consumer differs from the truth.
func (c *consumer) differs() string {
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	if c.present() == nil || c.present().phaseNow() != stream.Live {
		return c.name + " is not live"
	}
	for _, key := range c.sim.keys {
		if !c.follows(key) {
			continue
		}
		v := c.views[key]
		if problem := c.judge.finally(key, &v); problem != "" {
			return fmt.Sprintf("%s: of %d %s", c.name, number(key), problem)
		}
	}
	return ""
}

func (p *process) phaseNow() stream.Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase
}

func (c *consumer) present() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
