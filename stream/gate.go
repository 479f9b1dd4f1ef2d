package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

const (
	// gateEvery is how often the state of a rebuild and the cursors of its predecessor
	// are looked at.
	gateEvery = time.Second
	// gatePage is how many cursors are looked up at once, gateTurn of how many aggregates
	// that wait in one turn.
	gatePage, gateTurn = 512, 4096
	// gateAgain is when an aggregate is read again of which the cursors alone do not
	// tell what the predecessor has handled.
	gateAgain = 5 * time.Second
	// gateMost bounds the aggregates that wait, at some 200 bytes each.
	gateMost = 1 << 20
)

// gate lets a rebuild handle what its predecessor has handled, and nothing else until
// the cut-over. The goroutine that calls Next brings changes to it; a goroutine of the
// gate's own follows the stored state, has aggregates that wait go on, and sees to the
// cut-over. mu is taken before Subscription.step.
type gate struct {
	s     *Subscription
	store checkpoint.RecordStore
	from  string
	// settled: the rebuild is current and nothing waits any more.
	settled  atomic.Bool
	replayed atomic.Uint64

	mu      sync.Mutex
	state   rebuild.Rebuild
	waiting map[msg.Key]waiting
	// progress is the last measurement.
	progress rebuild.Progress

	// The gate's own goroutine alone uses the fields below.
	drain     draining
	measureAt time.Time
}

// waiting is an aggregate on hold.
type waiting struct {
	step   rebuild.Step
	theirs checkpoint.Cursor // when it was judged
	again  time.Time
}

func newGate(s *Subscription, r rebuild.Rebuild) *gate {
	return &gate{
		s: s, store: s.opts.Store.(checkpoint.RecordStore), from: r.From, state: r,
		waiting: make(map[msg.Key]waiting), measureAt: time.Now().Add(gateEvery),
	}
}

func (g *gate) stats() Rebuild {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Rebuild{From: g.from, State: g.state.State, Waiting: len(g.waiting), Replayed: g.replayed.Load(), Progress: g.progress}
}

// stepOf is a change as the gate judges it.
func stepOf(c *Change) rebuild.Step {
	step := rebuild.Step{Previous: c.Previous}
	switch c.Kind {
	case Batch:
		step.Version, step.Anchor = c.Batch.Version, c.Cursor.Anchor
	case Truncated:
		step.Kind, step.Version = rebuild.Trimmed, c.To
	case Unreadable:
		step.Kind, step.Version = rebuild.Unreadable, c.Version
	default:
		step.Kind = rebuild.Life
	}
	return step
}

// admit returns the changes that may be delivered. Aggregates with others are put on
// hold. An error is that of ctx, or the subscription's: nothing has happened then.
func (g *gate) admit(ctx context.Context, changes []Change) ([]Change, error) {
	if g.settled.Load() {
		return changes, nil
	}
	theirs, err := g.cursors(ctx, changes)
	if err != nil {
		return nil, err
	}
	logs := logsIn(changes, theirs)
	admitted := make([]Change, 0, len(changes))
	waits := make(map[msg.Key]rebuild.Step)
	var lost []uint32
	for i := range changes {
		c := changes[i]
		if !c.ofAggregate() {
			if c.Kind == Lost {
				lost = append(lost, c.Partition)
			}
			if c.Kind != CaughtUp { // another one comes behind the cut-over
				admitted = append(admitted, c)
			}
			continue
		}
		if _, waits := waits[c.Key]; waits {
			continue
		}
		step := stepOf(&c)
		verdict := rebuild.Judge(step, theirs[c.Key], logs[c.Key])
		if verdict == rebuild.Ask {
			if logs[c.Key], err = g.ask(ctx, c.Key, theirs[c.Key]); err != nil {
				return nil, err
			}
			verdict = rebuild.Judge(step, theirs[c.Key], logs[c.Key])
		}
		if verdict != rebuild.Pass {
			waits[c.Key] = step
			continue
		}
		c.Replay = true
		admitted = append(admitted, c)
	}
	return g.admitted(changes, admitted, theirs, waits, lost), nil
}

// admitted puts on hold what waits. Once the rebuild is current everything passes, but
// for a CaughtUp that comes before what waited.
func (g *gate) admitted(all, admitted []Change, theirs map[msg.Key]checkpoint.Cursor, waits map[msg.Key]rebuild.Step, lost []uint32) []Change {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(lost)
	if g.state.State == rebuild.Current {
		out := all[:0:0]
		for _, c := range all {
			if c.Kind != CaughtUp || g.settled.Load() {
				out = append(out, c)
			}
		}
		return out
	}
	keys := make([]msg.Key, 0, len(waits))
	again := time.Now().Add(gateAgain)
	for key, step := range waits {
		keys = append(keys, key)
		g.waiting[key] = waiting{step: step, theirs: theirs[key], again: again}
	}
	if len(keys) > 0 {
		g.s.holdBack(keys)
	}
	if len(g.waiting) > gateMost {
		g.s.Fail(fmt.Errorf("stream: rebuild %q: more than %d aggregates have changes that %q has not handled", g.s.opts.Name, gateMost, g.from))
	}
	for i := range admitted {
		if admitted[i].Replay {
			g.replayed.Add(1)
		}
	}
	return admitted
}

// forget drops what waits of partitions that were lost: who owns them next reads it
// again.
func (g *gate) forget(partitions []uint32) {
	for _, p := range partitions {
		for key := range g.waiting {
			if g.s.member != nil && g.s.member.partitionOf(key) == p {
				delete(g.waiting, key)
			}
		}
	}
}

// holdBack is Hold for what waits behind a slice that is being looked at: changes in
// front of it, of the same aggregates, stay.
func (s *Subscription) holdBack(keys []msg.Key) {
	held := make(map[msg.Key]struct{}, len(keys))
	for _, key := range keys {
		held[key] = struct{}{}
	}
	s.feed(func(e *engine.Engine, now time.Time) {
		s.box.drop(func(key msg.Key) bool { _, holds := held[key]; return holds })
		e.Hold(now, keys)
		if s.member != nil {
			s.member.held(keys)
		}
	})
}

// logsIn finds, of the aggregates whose batch at the predecessor's cursor is among the
// changes, whether it is the same batch.
func logsIn(changes []Change, theirs map[msg.Key]checkpoint.Cursor) map[msg.Key]rebuild.Log {
	logs := make(map[msg.Key]rebuild.Log)
	for i := range changes {
		c := &changes[i]
		at := theirs[c.Key]
		if c.Kind != Batch || at.Deleted || at.Version != c.Batch.Version || at.Anchor == (checkpoint.Anchor{}) {
			continue
		}
		if logs[c.Key] = rebuild.Other; c.Cursor.Anchor == at.Anchor {
			logs[c.Key] = rebuild.Same
		}
	}
	return logs
}

// cursors looks up where the predecessor stands with the aggregates of changes.
func (g *gate) cursors(ctx context.Context, changes []Change) (map[msg.Key]checkpoint.Cursor, error) {
	theirs := make(map[msg.Key]checkpoint.Cursor)
	var keys []msg.Key
	for i := range changes {
		key := changes[i].Key
		if _, known := theirs[key]; !known && changes[i].ofAggregate() {
			theirs[key] = checkpoint.Cursor{}
			keys = append(keys, key)
		}
	}
	err := g.insist(ctx, WhatStore, func(ctx context.Context) error { return g.lookUp(ctx, g.from, keys, theirs) })
	return theirs, err
}

func (g *gate) lookUp(ctx context.Context, name string, keys []msg.Key, into map[msg.Key]checkpoint.Cursor) error {
	for len(keys) > 0 {
		n := min(gatePage, len(keys))
		found, err := g.store.Load(ctx, name, keys[:n])
		if err != nil {
			return err
		}
		if len(found) != n {
			return errShortAnswer
		}
		for i, cursor := range found {
			into[keys[i]] = cursor
		}
		keys = keys[n:]
	}
	return nil
}

// gating is the gate's subject in the health.
type gating struct{}

// insist tries until an attempt succeeds, or ctx or the subscription ends.
func (g *gate) insist(ctx context.Context, what string, attempt func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(g.s.ctx, func() { cancel(context.Cause(g.s.ctx)) })()
	var pace engine.Backoff
	for {
		err := attempt(ctx)
		switch {
		case err == nil:
			g.s.working(what, gating{})
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if pace == nil {
			pace = newBackoff()
		}
		wait := pace.NextBackOff()
		g.s.failing(what, gating{}, err, time.Now().Add(wait))
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// ask reads the batch at a predecessor's cursor at the leader.
func (g *gate) ask(ctx context.Context, key msg.Key, at checkpoint.Cursor) (log rebuild.Log, err error) {
	err = g.insist(ctx, WhatNode, func(ctx context.Context) error {
		log, err = g.askOnce(ctx, key, at)
		return err
	})
	return log, err
}

func (g *gate) askOnce(ctx context.Context, key msg.Key, at checkpoint.Cursor) (rebuild.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	r := reading{x: g.s.executor, word: true, fresh: true,
		req: msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: at.Version, To: msg.Some(at.Version)}}}
	err := r.ask(ctx)
	var refusal *msg.ServerError
	switch {
	case errors.As(err, &refusal) && r.leads == pool.Leading &&
		(refusal.Code == msg.CodeReadNotFound || refusal.Code == msg.CodeVersionUnavailable):
		return rebuild.Other, nil
	case err != nil:
		return rebuild.Unknown, err
	}
	for i := range r.page.Batches {
		if b := &r.page.Batches[i]; b.Version == at.Version && checkpoint.AnchorOf(b) == at.Anchor {
			return rebuild.Same, nil
		}
	}
	return rebuild.Other, nil
}
