package operators

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/cenkalti/backoff/v4"
)

// transact runs the transaction of some changes until it has committed once, or
// failed for good.
func (p *projection[Tx]) transact(j *job, changes []stream.Change) error {
	entries := stream.Entries(changes)
	pace := newPace()
	began := time.Now()
	for {
		err := p.attempt(j, changes, entries)
		if err == nil {
			break
		}
		if stepOf(err) == StepCommit {
			landed, unknown := p.inquire(j, changes, entries, pace, began)
			if landed {
				break
			}
			if unknown != nil {
				return errors.Join(err, unknown)
			}
		}
		if !p.repeats(err) {
			return err
		}
		if err := p.wait(j, pace, began, err); err != nil {
			return err
		}
	}
	if p.databaseFailed.CompareAndSwap(true, false) {
		p.sub.ReportRecovered(stream.WhatDatabase)
	}
	p.sub.Committed(entries)
	await.Committed(p.sub.Store(), p.sub.Name())
	if len(entries) > 0 {
		p.mu.Lock()
		p.tally.progress.Commits++
		p.mu.Unlock()
	}
	return nil
}

// attempt runs the transaction once.
func (p *projection[Tx]) attempt(j *job, changes []stream.Change, entries []checkpoint.Entry) error {
	began := time.Now()
	err := p.db.Transact(j.ctx, changes[0].Owner, entries, func(ctx context.Context, tx Tx) error {
		return p.call(j, ctx, tx, changes)
	})
	tell(&p.settings, p.hooks.Transaction, func() TransactionInfo {
		return TransactionInfo{Changes: len(changes), Duration: time.Since(began), Err: err}
	})
	return err
}

// call has the handler apply the changes.
func (p *projection[Tx]) call(j *job, ctx context.Context, tx Tx, changes []stream.Change) error {
	began := time.Now()
	first := &changes[0]
	err := guarded(func() error { return p.apply(ctx, tx, changes) }, func() { p.exited(j, first) })
	p.tellHandled(first, len(changes), j.Failure.Attempts+1, began, err)
	if err == nil {
		return nil
	}
	failed := handlerError(first, err)
	failed.More = len(changes) - 1
	return failed
}

// inquire finds out whether a transaction whose commit failed took effect all
// the same. Only when that is known may anything follow.
func (p *projection[Tx]) inquire(j *job, changes []stream.Change, entries []checkpoint.Entry, pace backoff.BackOff, began time.Time) (landed bool, err error) {
	if len(entries) == 0 {
		return false, nil // nothing that could tell; nothing was to be moved
	}
	for {
		stored, failed := p.db.Stored(p.work, changes[0].Owner, entries)
		if failed == nil {
			switch stored {
			case 0:
				return false, nil
			case len(entries):
				return true, nil
			}
			return false, &TransactionError{Step: StepInquire, Err: fmt.Errorf("%d of the %d cursors of one transaction are stored: the store is not atomic", stored, len(entries))}
		}
		if !p.repeats(failed) {
			return false, failed
		}
		if err := p.wait(j, pace, began, failed); err != nil {
			return false, err
		}
	}
}

// repeats reports whether the failed step may succeed when it is repeated.
func (p *projection[Tx]) repeats(err error) bool {
	if errors.Is(err, checkpoint.ErrFenced) || errors.Is(err, ErrTransactionEnded) {
		return false
	}
	if stepOf(err) == "" {
		return p.passes(p.sub.Store(), err)
	}
	return p.passesStatement(p.sub.Store(), err)
}

func stepOf(err error) Step {
	var failed *TransactionError
	if !errors.As(err, &failed) {
		return ""
	}
	return failed.Step
}

// wait pauses before a repetition, or says why there is none.
func (p *projection[Tx]) wait(j *job, pace backoff.BackOff, began time.Time, failed error) error {
	if p.retry > 0 && time.Since(began) >= p.retry {
		return fmt.Errorf("%w (tried for %v)", failed, p.retry)
	}
	p.mu.Lock()
	p.tally.progress.Retries++
	p.mu.Unlock()
	wait := pace.NextBackOff()
	p.logger.Warn("transaction failed, trying again", "subscription", p.sub.Name(), "cause", failed)
	p.databaseFailed.Store(true)
	p.sub.ReportRetry(stream.WhatDatabase, failed, time.Now().Add(wait))
	if p.sleep(j.ctx, wait) {
		return nil
	}
	if p.stop.Err() != nil {
		return failed // why it stops is known
	}
	return errors.Join(context.Cause(j.ctx), failed)
}

// newPace spaces repetitions: 10 ms growing by half to 5 s, each varied by half.
func newPace() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(10*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}
