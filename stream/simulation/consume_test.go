package simulation_test

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// consume takes changes in one of three ways until it ends, or until the handler
// panics.
func (c *consumer) consume(ctx context.Context, p *process, way int) (err error) {
	defer func() {
		if cause := recover(); cause != nil && cause != errPanic {
			panic(cause)
		} else if cause != nil {
			err = errPanic
		}
	}()
	switch way {
	case 0:
		return c.pull(ctx, p)
	case 1:
		return p.sub.Run(ctx, c.handle(p))
	}
	for change, failure := range p.sub.All(ctx) {
		if failure != nil {
			return failure
		}
		if err := c.handle(p)(ctx, change); err != nil {
			return err
		}
	}
	return p.sub.Err()
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
		if c.manner.Panics && change.Moves() && c.misfortune(60) {
			c.panics(change.Key)
		}
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

// panics leaves the change as it was: it is not handled.
func (c *consumer) panics(key msg.Key) {
	c.sim.log.add(c.name, "panics")
	c.sim.count("handlers that panicked")
	if c.sim.shared != nil {
		c.sim.count("panics at a shared source")
	}
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
	c.views[key] = c.before
	panic(errPanic)
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
		case n < 60 && c.manner.Sloth:
			spread = 2 * time.Second
		}
	}
	if spread > time.Second && c.sim.shared != nil {
		c.sim.slow.Add(1)
		defer c.sim.slow.Add(-1)
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
	if !c.may(change.Key) {
		c.sim.failf("%s: %d is not in the scope", c.name, number(change.Key))
	}
	c.notice(p, change)
	v := c.views[change.Key]
	if c.roaming != nil {
		v = c.resume(change, v)
	}
	before := v
	c.before = v
	if problem := c.judge.apply(&v, change); problem != "" {
		c.sim.failf("%s: %d: %v behind %v: %s", p.who, number(change.Key), change.Kind, before.cursor, problem)
	}
	c.views[change.Key] = v
	return nil
}

// notice counts what a change shows of others, and judges where it starts.
func (c *consumer) notice(p *process, change *stream.Change) {
	if c.sim.slow.Load() > 0 {
		c.sim.count("changes while another one of the source was slow")
	}
	for key, v := range c.views {
		switch {
		case !v.parked || !change.Moves():
		case key == change.Key:
			c.sim.count("changes behind an oversize batch")
		default:
			c.sim.count("changes of others while an aggregate is parked")
		}
	}
	if problem := c.older(p, change); problem != "" {
		c.sim.failf("%s: %d: %v: %s", p.who, number(change.Key), change.Cursor, problem)
	}
}

// finish notes changes as handled.
func (c *consumer) finish(changes []stream.Change) {
	c.sim.truth.mu.Lock()
	defer c.sim.truth.mu.Unlock()
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
