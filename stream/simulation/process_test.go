package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

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
	caught   int  // CaughtUps taken
	begun    bool // the start was made before
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
	if c.follow().Empty() {
		// The last member was removed; a subscription begins with one at least.
		c.roaming.members = []stream.Scope{c.member()}
		c.becomes(c.roaming.members[0])
	}
	p.source.dawdles = c.opts.Start == stream.FromNow && !c.begin.made
	opts := c.opts
	opts.OnState = func(s stream.State) { c.state(p, s) }
	for {
		sub, err := stream.Open(ctx, p.source, c.follow(), opts)
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
	c.goBack(p)
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
func (c *consumer) goBack(p *process) {
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	p.begun = c.begin.made
	c.views = make(map[msg.Key]view)
	if c.roaming != nil {
		clear(c.roaming.back)
	}
	for entry, err := range c.store.Store.Scan(context.Background(), c.name) {
		if err != nil {
			c.sim.failf("%s: scanning: %v", c.name, err)
			return
		}
		if entry.Key.Org != org {
			continue // the mark of a start
		}
		v, known := c.handled[entry.Key][entry.Cursor]
		if !known {
			c.sim.failf("%s: the cursor %v of %d was stored and never handled (G11)", c.name, entry.Cursor, number(entry.Key))
			return
		}
		if before := c.stored[entry.Key]; entry.Cursor.Compare(before) < 0 {
			c.sim.failf("%s: the stored cursor of %d went back from %v to %v", c.name, number(entry.Key), before, entry.Cursor)
		}
		v.unreadable, v.parked = 0, false
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
	if c.sim.shared != nil && !c.sim.calm.Load() {
		c.sim.count("processes that left a shared source")
	}
	c.closePool(ctx, p)
	// Work that was cancelled may or may not have drawn a random number.
	reseed(c.sim.when.hash(p.who, "stops"))
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
