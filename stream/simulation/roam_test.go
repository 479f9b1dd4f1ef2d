package simulation_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// roaming is a scope that changes while it is followed.
type roaming struct {
	chance  *rand.Rand
	members []stream.Scope
	// back says, of aggregates that were added and of which nothing has come since,
	// what was stored of them then: what comes continues from there, or from
	// something that was handled and is stored a moment later.
	back   map[msg.Key]checkpoint.Cursor
	left   map[msg.Key]bool // those that were members before
	joined map[msg.Key]time.Time
}

func newRoaming(s *sim, consumer int) *roaming {
	return &roaming{
		chance: rand.New(rand.NewPCG(s.set.Seed, uint64(400+consumer))),
		back:   make(map[msg.Key]checkpoint.Cursor), left: make(map[msg.Key]bool), joined: make(map[msg.Key]time.Time),
	}
}

// member is one that could be added.
func (c *consumer) member() stream.Scope {
	r := c.roaming.chance
	switch r.IntN(6) {
	case 0:
		return stream.Orgs(org)
	case 1:
		return stream.Types(org, typeOf(r.IntN(c.sim.set.Writers)))
	case 2:
		return stream.Aggregates(pick(r, c.sim.keys...), pick(r, c.sim.keys...))
	}
	return stream.Aggregates(pick(r, c.sim.keys...))
}

// roam adds and removes members until ctx ends or all is calm.
func (c *consumer) roam(ctx context.Context, p *process) {
	r := c.roaming.chance
	for {
		spread := 6 * time.Second
		if r.IntN(3) == 0 {
			spread = 5 * time.Millisecond
		}
		err := c.sim.when.nap(ctx, time.Microsecond+time.Duration(r.Int64N(int64(spread))), c.name+" roams")
		if err != nil || c.sim.calm.Load() {
			return
		}
		if n := len(c.roaming.members); n > 0 && (n > 4 || r.IntN(2) == 0) {
			c.remove(ctx, p, r.IntN(n))
		} else {
			c.add(ctx, p, c.member())
		}
	}
}

func (c *consumer) add(ctx context.Context, p *process, more stream.Scope) {
	if slices.ContainsFunc(c.roaming.members, func(s stream.Scope) bool { return s.String() == more.String() }) {
		return
	}
	c.sim.log.add(p.who, "adds %v", more)
	c.becomes(stream.Union(c.follow(), more))
	err := p.sub.Add(ctx, more)
	if c.rescoped(ctx, p, err) {
		c.roaming.members = append(c.roaming.members, more)
		c.sim.count("members added")
		if c.sim.shared != nil {
			c.sim.count("members of a shared source added")
		}
		if c.opts.Start == stream.FromNow {
			c.sim.count("members added from now")
		}
	}
}

func (c *consumer) remove(ctx context.Context, p *process, n int) {
	less := c.roaming.members[n]
	c.sim.log.add(p.who, "removes %v", less)
	// From now on no change of less is required; changes may come until Remove returns.
	before := c.follow()
	c.leaves(before)
	c.becomes(before.Without(less))
	err := p.sub.Remove(ctx, less)
	c.leaves(stream.Scope{})
	// A member that another one names too, an aggregate of a pair, goes with it.
	if c.rescoped(ctx, p, err) {
		c.roaming.members = slices.DeleteFunc(c.roaming.members, func(s stream.Scope) bool {
			return stream.Union(c.follow(), s).String() != c.follow().String()
		})
		c.sim.count("members removed")
		if c.sim.shared != nil {
			c.sim.count("members of a shared source removed")
		}
	}
}

// rescoped takes over what is followed now; it reports whether that has changed.
func (c *consumer) rescoped(ctx context.Context, p *process, err error) bool {
	c.becomes(p.sub.Scope())
	if err != nil && ctx.Err() == nil && p.sub.Err() == nil {
		c.sim.failf("%s: changing the scope: %v", p.who, err)
	}
	return err == nil
}

func (c *consumer) follow() stream.Scope {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scope
}

func (c *consumer) leaves(scope stream.Scope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = scope
}

// becomes changes what is to be delivered, and notes what is stored of what is new.
func (c *consumer) becomes(scope stream.Scope) {
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	before := c.follow()
	for _, key := range c.sim.keys {
		switch was, is := before.Contains(key), scope.Contains(key); {
		case was && !is:
			delete(c.roaming.back, key)
			c.roaming.left[key] = true
		case is && !was:
			stored, err := c.store.Store.Load(context.Background(), c.name, []msg.Key{key})
			if err != nil {
				c.sim.failf("%s: what is stored of %d: %v", c.name, number(key), err)
				return
			}
			c.roaming.back[key], c.roaming.joined[key] = stored[0], time.Now()
			if c.roaming.left[key] {
				c.sim.count("members added again")
			}
		}
	}
	c.mu.Lock()
	c.scope = scope
	c.mu.Unlock()
}

// resume returns what a change of an aggregate continues that was added: what was
// taken last, or what is stored.
func (c *consumer) resume(change *stream.Change, v view) view {
	low, waits := c.roaming.back[change.Key]
	if !waits || !change.Moves() {
		return v
	}
	delete(c.roaming.back, change.Key)
	c.sim.count("changes of members added")
	if c.roaming.left[change.Key] {
		c.sim.count("changes of members added again")
	}
	fits := func(v view) bool { return c.judge.apply(&v, change) == "" }
	if fits(v) {
		return v
	}
	if low.IsZero() && fits(view{}) {
		return view{}
	}
	handled := c.handled[change.Key]
	var cursors []checkpoint.Cursor
	for cursor := range handled {
		if cursor.Compare(low) >= 0 {
			cursors = append(cursors, cursor)
		}
	}
	slices.SortFunc(cursors, checkpoint.Cursor.Compare)
	for _, cursor := range cursors {
		if fits(handled[cursor]) {
			return handled[cursor]
		}
	}
	return v
}
