package operators

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// projection is a Project at work.
type projection[Tx any] struct {
	*runner
	db    Database[Tx]
	apply func(context.Context, Tx, []stream.Change) error
}

// handle applies the slice of a task. Each of its changes is applied, set aside, or
// left to whoever comes next.
func (p *projection[Tx]) handle(j *job) {
	changes := j.Changes
	for len(changes) > 0 {
		var failed error
		done, err := isolate(changes, func(places []int) error {
			if failed != nil && p.stop.Err() != nil {
				return errors.Join(context.Cause(p.stop), handlersCause(failed))
			}
			err := p.transact(j, pick(changes, places))
			if err != nil {
				failed = err
			}
			return err
		})
		p.applied(j, changes, done.applied)
		if key, refused := refusedKey(err); refused {
			// The stored cursor is not the one that these changes follow: they are read again.
			changes = p.reread(j, rest(changes, done.applied), key, err)
			continue
		}
		if err != nil {
			p.failedTransaction(j, err)
			return
		}
		if p.stop.Err() != nil {
			p.tellFailures(done.culprits)
			return
		}
		if !done.common {
			for _, c := range done.culprits {
				p.failed(j, &changes[c.at], handlersCause(c.err))
			}
			return
		}
		changes = rest(changes, done.applied)
		if !p.again(j, &changes[0], done.culprits[0].err) {
			return
		}
	}
}

// refusedKey returns the aggregate whose cursor refused a transaction: what the
// entry was to store is stored already, or it follows another cursor.
func refusedKey(err error) (msg.Key, bool) {
	if applied, ok := errors.AsType[*checkpoint.AppliedError](err); ok {
		return applied.Key, true
	}
	if behind, ok := errors.AsType[*checkpoint.RegressionError](err); ok {
		return behind.Key, true
	}
	return msg.Key{}, false
}

// reread has an aggregate read again from its stored cursor, and returns the
// changes of the others.
func (p *projection[Tx]) reread(j *job, changes []stream.Change, key msg.Key, refusal error) (others []stream.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Key != key:
			others = append(others, *c)
		case !p.lostLocked(j, c):
			p.schedule.Reread(c)
			if applied, ok := errors.AsType[*checkpoint.AppliedError](refusal); ok {
				p.schedule.Stored(key, applied.Stored)
			}
			p.interruptLocked()
		}
	}
	return others
}

// handlersCause takes off the name of the change, which is put on again.
func handlersCause(err error) error {
	var named *HandlerError
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

func pick(changes []stream.Change, places []int) []stream.Change {
	if len(places) == len(changes) {
		return changes
	}
	out := make([]stream.Change, len(places))
	for i, at := range places {
		out[i] = changes[at]
	}
	return out
}

// rest returns the changes that were not applied, in order.
func rest(changes []stream.Change, applied []int) []stream.Change {
	gone := make(map[int]bool, len(applied))
	for _, at := range applied {
		gone[at] = true
	}
	var out []stream.Change
	for i := range changes {
		if !gone[i] {
			out = append(out, changes[i])
		}
	}
	return out
}

// applied notes what has been committed.
func (p *projection[Tx]) applied(j *job, changes []stream.Change, places []int) {
	if len(places) == 0 {
		return
	}
	p.mu.Lock()
	for _, at := range places {
		c := &changes[at]
		if !p.lostLocked(j, c) {
			p.tally.add(c)
		}
		p.handledLocked(j, c)
	}
	partition := changes[0].Partition
	if _, failed := p.sliceFailures[partition]; failed {
		delete(p.sliceFailures, partition)
		p.recovered = p.schedule.Failing() == 0
		signal(p.kick)
	}
	counted := p.counted(0)
	p.mu.Unlock()
	p.report(counted)
}

// tellFailures keeps the failures of changes that nobody tries again here.
func (p *projection[Tx]) tellFailures(culprits []culprit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range culprits {
		p.failures = append(p.failures, c.err)
	}
}

// fenced notes that a claim is over; it reports whether that ends the partition
// only.
func (p *projection[Tx]) fenced(j *job, err error) bool {
	c := &j.Changes[0]
	if j.ctx.Err() != nil && p.work.Err() == nil {
		return true // the claim ended while the transaction was at work
	}
	if !errors.Is(err, checkpoint.ErrFenced) || !leased(c.Owner) {
		return false
	}
	p.tellFenced(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loseLocked(c.Owner, c.Partition, err)
	return true
}

// failedTransaction carries out what follows a transaction that failed for good.
func (p *projection[Tx]) failedTransaction(j *job, err error) {
	if errors.Is(err, ErrTransactionEnded) {
		// Statements of the handler behind its end would be executed again and again.
		p.mu.Lock()
		c := &j.Changes[0]
		f := p.schedule.Failure(c)
		f.Attempts++
		f.First, f.Last, f.Err = time.Now(), time.Now(), err
		p.recordStop(c, f)
		p.mu.Unlock()
	}
	if p.fenced(j, err) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending != nil {
		p.failures = append(p.failures, err)
	}
	p.endLocked(err)
}

// again waits before a slice of which several changes failed is tried again, and
// reports false if that is not to be.
func (p *projection[Tx]) again(j *job, c *stream.Change, failed error) bool {
	p.mu.Lock()
	before := p.sliceFailures[c.Partition]
	p.mu.Unlock()
	now := time.Now()
	f := Failure{Change: *c, Err: handlersCause(failed), Attempt: before.Attempts + 1}
	if !before.First.IsZero() {
		f.Since = now.Sub(before.First)
	}
	v := p.classify(f)
	if v != Stop {
		v = Retry // a common cause parks nobody
	}
	found := judge(f, v, situation{now: now, before: before, jitter: jitter()})
	tell(&p.settings, p.hooks.Verdict, func() VerdictInfo {
		return VerdictInfo{Failure: f, Verdict: found.verdict, Next: found.due}
	})
	if found.verdict == Stop {
		p.carryOut(j, c, f, found)
		return false
	}
	p.mu.Lock()
	p.sliceFailures[c.Partition] = found.failure
	p.lastFailure = failed
	p.mu.Unlock()
	p.logger.Warn("several changes of a slice failed, trying it again", "subscription", p.sub.Name(), "cause", failed, "next", found.due)
	p.sub.ReportRetry(stream.WhatHandler, failed, found.due)
	return p.sleep(j.ctx, time.Until(found.due))
}

// sleep waits; it reports false if the runner or the claim ends first.
func (r *runner) sleep(claim context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return r.stop.Err() == nil
	case <-r.stop.Done():
	case <-claim.Done():
	}
	return false
}
