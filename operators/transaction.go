package operators

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/cenkalti/backoff/v4"
)

// stageError says in which step of a transaction it failed, which decides what
// may follow.
type stageError struct {
	stage stage
	err   error
}

type stage string

const (
	stageBegin   stage = "beginning the transaction"
	stageSave    stage = "saving the cursors"
	stageApply   stage = "applying"
	stageCommit  stage = "committing the transaction"
	stageInquire stage = "reading the cursors back after a commit of unknown outcome"
)

func (e *stageError) Error() string {
	if e.stage == stageApply {
		return e.err.Error()
	}
	return fmt.Sprintf("operators: %s: %v", e.stage, e.err)
}

func (e *stageError) Unwrap() error { return e.err }

// transact runs the transaction of one slice until it has committed once. ctx
// ends the retries, work the attempt under way.
func (p *projection) transact(ctx, work context.Context, items []stream.Change, entries []checkpoint.Entry) error {
	pace := newPace()
	began := time.Now()
	for {
		err := p.attempt(work, items, entries)
		if err == nil {
			return nil
		}
		if err.stage == stageCommit {
			landed, unknown := p.inquire(ctx, work, entries, pace, began)
			if landed {
				return nil
			}
			if unknown != nil {
				return errors.Join(err, unknown)
			}
		}
		if !p.passes(err) {
			return err
		}
		if err := p.wait(ctx, pace, began, err); err != nil {
			return err
		}
	}
}

// attempt runs the transaction once. Only a failure of stageCommit leaves open
// whether it took effect.
func (p *projection) attempt(ctx context.Context, items []stream.Change, entries []checkpoint.Entry) *stageError {
	tx, err := p.db.BeginTx(ctx, p.tx)
	if err != nil {
		return &stageError{stageBegin, err}
	}
	// After a commit this does nothing.
	defer tx.Rollback()
	// The cursors go first: an owner that was fenced is stopped before it does
	// work, and the row lock makes owners take turns.
	if err := p.store.SaveTx(ctx, tx, p.sub.Owner(), entries); err != nil {
		return &stageError{stageSave, err}
	}
	if err := guarded(func() error { return p.apply(ctx, tx, items) }); err != nil {
		return &stageError{stageApply, handlerError(items, err)}
	}
	if err := tx.Commit(); err != nil {
		return &stageError{stageCommit, err}
	}
	return nil
}

// inquire finds out whether a transaction whose commit failed took effect all
// the same. Only when that is known may anything follow.
func (p *projection) inquire(ctx, work context.Context, entries []checkpoint.Entry, pace backoff.BackOff, began time.Time) (landed bool, err error) {
	if len(entries) == 0 {
		return false, nil // nothing that could tell; nothing was to be moved
	}
	for {
		landed, failed := p.stored(work, entries)
		if failed == nil {
			return landed, nil
		}
		if !p.passes(failed) {
			return false, failed
		}
		if err := p.wait(ctx, pace, began, failed); err != nil {
			return false, err
		}
	}
}

// stored reports whether all entries are stored. The owner's row is locked
// first: a commit that the server is still working on finishes before, so that
// "not stored" stays true.
func (p *projection) stored(ctx context.Context, entries []checkpoint.Entry) (bool, *stageError) {
	tx, err := p.db.BeginTx(ctx, p.tx)
	if err != nil {
		return false, &stageError{stageInquire, err}
	}
	defer tx.Rollback()
	if err := p.store.SaveTx(ctx, tx, p.sub.Owner(), nil); err != nil {
		return false, &stageError{stageInquire, err}
	}
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	cursors, err := p.store.LoadTx(ctx, tx, p.sub.Owner().Name, keys)
	if err != nil {
		return false, &stageError{stageInquire, err}
	}
	landed := 0
	for i := range entries {
		if cursors[i].Compare(entries[i].Cursor) >= 0 {
			landed++
		}
	}
	switch landed {
	case 0:
		return false, nil
	case len(entries):
		return true, nil
	}
	return false, &stageError{stageInquire,
		fmt.Errorf("%d of the %d cursors of one transaction are stored: the store is not atomic", landed, len(entries))}
}

// passes reports whether the failed step may succeed when it is repeated.
func (p *projection) passes(e *stageError) bool {
	if errors.Is(e.err, checkpoint.ErrFenced) {
		return false
	}
	if e.stage == stageApply {
		var panicked *PanicError
		return !errors.As(e.err, &panicked) && (passingAnywhere(e.err) || p.passing(e.err))
	}
	return passingStatement(e.err) || p.passing(e.err)
}

// wait pauses before a repetition, or says why there is none.
func (p *projection) wait(ctx context.Context, pace backoff.BackOff, began time.Time, failed *stageError) error {
	if p.retry > 0 && time.Since(began) >= p.retry {
		return fmt.Errorf("%w (tried for %v)", failed, p.retry)
	}
	p.tally.progress.Retries++
	p.logger.Warn("transaction failed, trying again", "subscription", p.sub.Name(), "cause", failed)
	timer := time.NewTimer(pace.NextBackOff())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), failed)
	}
}

// newPace spaces repetitions: 10 ms growing by half to 5 s, each varied by half.
func newPace() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(10*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}
