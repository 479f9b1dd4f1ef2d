package stream

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

const (
	// drainMost bounds the cursors that are remembered as not reached.
	drainMost = 100_000
	// drainAsks is how many of them are looked for in the log in one turn.
	drainAsks = 32
	// measureEvery is how often progress is measured, at most.
	measureEvery = 10 * time.Second
)

// draining is what is known of the predecessor's frozen cursors.
type draining struct {
	token checkpoint.Token
	// parts are the partitions that behind is about, complete if it holds everything.
	parts    map[rebuild.Part]checkpoint.Owner
	behind   []checkpoint.Entry
	complete bool
	scanAt   time.Time
	// gone are aggregates whose batch at the cursor is not in the log any more.
	gone map[msg.Key]struct{}
}

// run follows the state of the rebuild until it is current and nothing waits.
func (g *gate) run(ctx context.Context) {
	ticker := time.NewTicker(gateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		over, err := g.turn(ctx)
		if over || ctx.Err() != nil {
			return
		}
		if err != nil {
			g.s.failing(WhatStore, g, err, time.Now().Add(gateEvery))
		} else {
			g.s.working(WhatStore, g)
		}
	}
}

// turn looks at everything once; over tells that there is no gate any more.
func (g *gate) turn(ctx context.Context) (over bool, err error) {
	r, err := rebuild.Load(ctx, g.store, g.s.opts.Name)
	switch {
	case errors.Is(err, rebuild.ErrNone), err == nil && r.State == rebuild.Superseded:
		g.s.Fail(&checkpoint.SupersededError{Name: g.s.opts.Name, By: g.from})
		return true, nil
	case err != nil:
		return false, err
	}
	g.enter(r)
	if err := g.release(ctx, r.State == rebuild.Current); err != nil {
		return false, err
	}
	switch r.State {
	case rebuild.Current:
		return g.opened(), nil
	case rebuild.Draining:
		if err := g.drained(ctx, r); err != nil {
			return false, err
		}
	}
	return false, g.measure(ctx)
}

// enter takes a state in.
func (g *gate) enter(r rebuild.Rebuild) {
	g.mu.Lock()
	before := g.state.State
	g.state = r
	g.mu.Unlock()
	if before == r.State {
		return
	}
	g.s.logger.Info("rebuild is "+string(r.State), "predecessor", g.from, "before", before)
	if hook := g.s.opts.Hooks.Rebuild; hook != nil {
		stats := g.stats()
		g.s.callbacks.add(func() { hook(stats) })
	}
}

// opened has a CaughtUp follow once nothing waits any more.
func (g *gate) opened() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		return false
	}
	g.settled.Store(true)
	g.s.feed(func(e *engine.Engine, now time.Time) { e.CatchUp(now) })
	return true
}

// release has aggregates go on that the predecessor has moved on with, or all of them.
// The caller has stored the delivered changes of them: the engine reads on from there.
func (g *gate) release(ctx context.Context, all bool) error {
	g.mu.Lock()
	keys := make([]msg.Key, 0, min(len(g.waiting), gateTurn))
	for key := range g.waiting {
		if keys = append(keys, key); len(keys) == cap(keys) {
			break
		}
	}
	g.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	theirs, mine := make(map[msg.Key]checkpoint.Cursor), make(map[msg.Key]checkpoint.Cursor)
	if err := g.lookUp(ctx, g.from, keys, theirs); err != nil {
		return err
	}
	if err := g.lookUp(ctx, g.s.opts.Name, keys, mine); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var going []msg.Key
	for _, key := range keys {
		w, waits := g.waiting[key]
		if waits && mine[key].Compare(w.step.Previous) >= 0 && (all || w.goesOn(now, theirs[key])) {
			going = append(going, key)
			delete(g.waiting, key)
		}
	}
	if len(going) > 0 {
		g.s.Release(going...)
	}
	return nil
}

// goesOn reports whether an aggregate is to be judged anew.
func (w *waiting) goesOn(now time.Time, theirs checkpoint.Cursor) bool {
	if theirs != w.theirs && rebuild.Judge(w.step, theirs, rebuild.Unknown) != rebuild.Wait {
		return true
	}
	// The log may have become another one.
	unclear := theirs.Deleted || w.step.Kind == rebuild.Life || w.step.Version <= theirs.Version
	return unclear && !theirs.IsZero() && now.After(w.again)
}

// parts are the partitions that are owned, with their claims.
func (g *gate) parts(token checkpoint.Token) map[rebuild.Part]checkpoint.Owner {
	if g.s.member == nil {
		return map[rebuild.Part]checkpoint.Owner{{Token: token, Count: 1}: g.s.owner}
	}
	g.s.step.Lock()
	defer g.s.step.Unlock()
	parts := make(map[rebuild.Part]checkpoint.Owner)
	d := &g.s.member.definition
	for p, c := range g.s.member.claims {
		parts[rebuild.Part{Token: token, Partition: p, Count: d.Count(), Generation: d.Generation}] = c.owner
	}
	return parts
}

// partOf is the partition of an aggregate.
func (g *gate) partOf(key msg.Key, token checkpoint.Token) rebuild.Part {
	if g.s.member == nil {
		return rebuild.Part{Token: token, Count: 1}
	}
	g.s.step.Lock()
	defer g.s.step.Unlock()
	d := &g.s.member.definition
	return rebuild.Part{Token: token, Partition: d.Of(key), Count: d.Count(), Generation: d.Generation}
}

// drained stores which partitions stand at the frozen cursors, and makes the rebuild
// current once all do.
func (g *gate) drained(ctx context.Context, r rebuild.Rebuild) error {
	// A process that was killed may have left the predecessor's owners unfenced.
	r, err := rebuild.CutOver(ctx, g.store, g.s.opts.Name, r.By)
	if err != nil || r.State != rebuild.Draining {
		return err
	}
	done, err := rebuild.DoneParts(ctx, g.store, g.s.opts.Name, r.Token)
	if err != nil {
		return err
	}
	undone := g.parts(r.Token)
	for _, p := range done {
		delete(undone, p)
	}
	if len(undone) > 0 {
		if err := g.drainParts(ctx, r, undone); err != nil {
			return err
		}
	}
	all, err := rebuild.AllDone(ctx, g.store, g.s.opts.Name, r.Token)
	if err == nil && all {
		_, _, err = rebuild.Finish(ctx, g.store, r)
	}
	return err
}

// drainParts looks at partitions that are not known to stand at the frozen cursors.
func (g *gate) drainParts(ctx context.Context, r rebuild.Rebuild, undone map[rebuild.Part]checkpoint.Owner) error {
	if err := g.compare(ctx, r, undone); err != nil || !g.drain.complete {
		return err
	}
	behind := make(map[rebuild.Part]bool)
	asks := drainAsks
	for _, e := range g.drain.behind {
		if _, gone := g.drain.gone[e.Key]; gone {
			continue
		}
		if asks > 0 && !e.Cursor.Deleted && e.Cursor.Version > 0 {
			asks--
			log, err := g.askOnce(ctx, e.Key, e.Cursor)
			if err != nil {
				return err
			}
			if log == rebuild.Other {
				g.drain.gone[e.Key] = struct{}{}
				continue
			}
		}
		behind[g.partOf(e.Key, r.Token)] = true
	}
	for p, owner := range undone {
		if behind[p] {
			continue
		}
		if err := rebuild.Done(ctx, g.store, owner, p); err != nil && !errors.Is(err, checkpoint.ErrFenced) {
			return err // of a partition that was lost the next owner says so
		}
	}
	return nil
}

// compare finds the frozen cursors that are not reached: at first by going through all
// of them, then by looking at those again.
func (g *gate) compare(ctx context.Context, r rebuild.Rebuild, undone map[rebuild.Part]checkpoint.Owner) error {
	d := &g.drain
	if d.token != r.Token {
		*d = draining{token: r.Token, gone: make(map[msg.Key]struct{})}
	}
	covered := d.complete
	for p := range undone {
		if _, known := d.parts[p]; !known {
			covered = false
		}
	}
	if covered {
		behind, err := rebuild.Behind(ctx, g.store, g.s.opts.Name, d.behind)
		if err == nil {
			d.behind = behind
		}
		return err
	}
	began := time.Now()
	if began.Before(d.scanAt) {
		return nil
	}
	d.complete, d.behind, d.parts = true, nil, undone
	follows := g.s.opts.contains(g.s.Scope())
	within := func(key msg.Key) bool {
		if key == legacyStart || !follows(key) {
			return false
		}
		_, owned := undone[g.partOf(key, r.Token)]
		return owned
	}
	_, err := rebuild.Compare(ctx, g.store, g.s.opts.Name, g.from, within, func(e checkpoint.Entry) {
		if len(d.behind) == drainMost {
			d.complete = false
			return
		}
		d.behind = append(d.behind, e)
	})
	if err != nil {
		d.complete = false
	}
	d.scanAt = time.Now().Add(10 * time.Since(began))
	return err
}

// measure measures and stores the progress now and then, in one process.
func (g *gate) measure(ctx context.Context) error {
	began := time.Now()
	if began.Before(g.measureAt) || !g.measures() {
		return nil
	}
	follows := g.s.opts.contains(g.s.Scope())
	p, err := rebuild.Compare(ctx, g.store, g.s.opts.Name, g.from, func(key msg.Key) bool { return key != legacyStart && follows(key) }, nil)
	g.measureAt = time.Now().Add(max(measureEvery, 20*time.Since(began)))
	if err != nil {
		return err
	}
	g.mu.Lock()
	p = p.Since(g.progress)
	g.progress = p
	g.mu.Unlock()
	return rebuild.SaveProgress(ctx, g.store, g.s.opts.Name, p)
}

// measures reports whether this process is the one: it owns everything, or partition 0.
func (g *gate) measures() bool {
	if g.s.member == nil {
		return true
	}
	g.s.step.Lock()
	defer g.s.step.Unlock()
	return g.s.member.claims[0] != nil
}
