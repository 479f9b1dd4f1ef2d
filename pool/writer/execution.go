package writer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// aggregateHistory is the part of a history that does not depend on the type of
// its state.
type aggregateHistory interface {
	catchUp(ctx context.Context, head bool) error
	decide() ([]msg.Event, error)
	observed() *observed
}

// execution is one call of a command.
type execution struct {
	*Writer
	cmd     Command
	history aggregateHistory
	// readsAll: the whole aggregate is read, and every write is conditional on the
	// version decided on.
	readsAll bool
	claim    sequenceClaim
	sent     int
}

// run is the loop of Execute and Append.
func (w *Writer) run(ctx context.Context, cmd Command, h aggregateHistory, readsAll bool) (Outcome, error) {
	x := &execution{Writer: w, cmd: cmd, history: h, readsAll: readsAll}
	if cmd.ID.IsZero() {
		return x.fail(fmt.Errorf("%w: a command needs an id", pool.ErrInvalid))
	}
	unlock, err := w.locks.lock(ctx, cmd.Key)
	if err != nil {
		return x.fail(err)
	}
	defer unlock()
	if err := x.resumeClaim(ctx); err != nil {
		return x.fail(err)
	}
	var last error
	for try := range w.opts.Tries {
		if err := w.pause(ctx, try); err != nil {
			return x.fail(x.closeClaim(ctx, errors.Join(err, last)))
		}
		outcome, done, err := x.try(ctx)
		switch {
		case done && err == nil:
			return outcome, x.closeClaim(ctx, nil)
		case done:
			return x.fail(x.closeClaim(ctx, err))
		}
		last = err
	}
	return x.fail(x.closeClaim(ctx, fmt.Errorf("%w: %w", ErrTries, last)))
}

// resumeClaim takes up the claim of an earlier call that did not learn its outcome.
func (x *execution) resumeClaim(ctx context.Context) error {
	first, err := x.opts.Sequences.OpenClaim(ctx, x.cmd.Key, x.cmd.ID)
	if err != nil {
		return err
	}
	if first.Set {
		x.claim = sequenceClaim{held: true, first: first.Value, last: first.Value, unresolved: true, fromEarlierCall: true}
	}
	return nil
}

// try catches up, decides and writes, once. done is false when another try may
// do better.
func (x *execution) try(ctx context.Context) (outcome Outcome, done bool, err error) {
	// A client sequence does not hold across the loss of a leader: the next one may
	// store it again beside the batch of the last. So a write that may meet an
	// earlier one of its command is conditional on the version, too.
	conditional := x.readsAll || x.claim.unresolved
	if err := x.history.catchUp(ctx, conditional); err != nil {
		return Outcome{}, !msg.SafeToRetry(err), fmt.Errorf("catching up: %w", err)
	}
	seen := x.history.observed()
	if version, ok := seen.appliedAt.Get(); ok {
		return x.alreadyApplied(version), true, nil
	}
	events, err := x.history.decide()
	if err != nil {
		return Outcome{}, true, fmt.Errorf("deciding: %w", err)
	}
	if len(events) == 0 {
		if x.claim.unresolved {
			return Outcome{}, true, errors.New("nothing to append now, but an earlier try may still be applied")
		}
		return Outcome{Version: seen.version, Tries: x.sent}, true, nil
	}
	if err := x.claimSequences(ctx, len(events)); err != nil {
		return Outcome{}, true, err
	}
	return x.write(ctx, x.number(events), conditional)
}

// claimSequences makes sure of a claim: the one that is held, unless it is certain
// that nothing written under it is or will be applied, and it can no longer be used.
func (x *execution) claimSequences(ctx context.Context, count int) error {
	seen := x.history.observed()
	if x.claim.usable(seen, x.readsAll) {
		x.claim.last = max(x.claim.last, x.claim.first+uint64(count)-1)
		return nil
	}
	minSeq := max(seen.maxOwnSeq, x.claim.minSeq)
	first, err := x.opts.Sequences.Claim(ctx, x.cmd.Key, x.cmd.ID, count, minSeq)
	if err != nil {
		return err
	}
	x.claim = sequenceClaim{held: true, first: first, last: first + uint64(count) - 1, minSeq: minSeq}
	return nil
}

// number gives the events their sequences and the first one the command's id.
func (x *execution) number(events []msg.Event) []msg.Event {
	events = slices.Clone(events)
	events[0].EventID = msg.Some(x.cmd.ID)
	for i := range events {
		events[i].ClientSeq = x.claim.first + uint64(i)
	}
	return events
}

// write sends the batch and judges the answer.
func (x *execution) write(ctx context.Context, events []msg.Event, conditional bool) (Outcome, bool, error) {
	part := msg.AggregateWrite{Key: x.cmd.Key, Events: events, DenyCreate: x.cmd.DenyCreate, EnforceIdempotency: true}
	if conditional {
		part.ExpectedVersion = msg.Some(x.history.observed().version)
	}
	x.sent++
	resp, err := x.log.Write(ctx, &msg.WriteRequest{ClientID: x.opts.ClientID, UserID: x.cmd.UserID, Writes: []msg.AggregateWrite{part}})
	switch resultOf(resp, err) {
	case applied:
		return Outcome{Version: resp.MaxVersion.Value, Appended: true, Tries: x.sent}, true, nil
	case conflicted:
		// Behind an answer that was lost, the conflict may be with oneself.
		x.claim.unresolved = x.claim.unresolved || msg.Ambiguous(err)
		x.history.observed().recordConflict(err)
		return Outcome{}, false, err
	case outcomeUnknown:
		x.claim.unresolved = true
		if err == nil {
			err = fmt.Errorf("%w: the acknowledgement of one aggregate names no version", pool.ErrProtocol)
		}
		return Outcome{}, false, err
	case sequenceStored:
		return x.findOwner(ctx, err)
	}
	return Outcome{}, !msg.SafeToRetry(err), err
}

// findOwner finds out who has used the sequence that a node says is stored.
func (x *execution) findOwner(ctx context.Context, refusal error) (Outcome, bool, error) {
	x.claim.recordStored(refusal)
	owner, version, err := x.Owner(ctx, x.cmd.Key, x.claim.first, x.cmd.ID)
	if err != nil {
		return Outcome{}, !msg.SafeToRetry(err), fmt.Errorf("asking who owns client sequence %d: %w", x.claim.first, errors.Join(err, refusal))
	}
	switch owner {
	case OwnedByCommand:
		return x.alreadyApplied(version), true, nil
	case OwnedByOther:
		x.claim = sequenceClaim{minSeq: x.claim.minSeq}
		return Outcome{}, false, refusal
	}
	return Outcome{}, false, fmt.Errorf("%w: the batch of client sequence %d is not readable", refusal, x.claim.first)
}

// alreadyApplied is the outcome of a command whose batch was found.
func (x *execution) alreadyApplied(version uint64) Outcome {
	return Outcome{Version: version, Appended: true, AlreadyApplied: true, Tries: x.sent}
}

// closeClaim ends the claim when the outcome is known. A failure to close it
// does not change the outcome of the command: at worst its claim is asked about
// again.
func (x *execution) closeClaim(ctx context.Context, err error) error {
	if err == nil || !x.claim.unresolved {
		_ = x.opts.Sequences.CloseClaim(context.WithoutCancel(ctx), x.cmd.Key, x.cmd.ID)
	}
	return err
}

func (x *execution) fail(err error) (Outcome, error) {
	return Outcome{}, &CommandError{Command: x.cmd.ID, Key: x.cmd.Key, Tries: x.sent, Unknown: x.claim.unresolved, Err: err}
}

// pause waits before every try but the first.
func (w *Writer) pause(ctx context.Context, try int) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	if try == 0 {
		return nil
	}
	wait := min(w.opts.Pause<<min(try-1, 10), maxPause)
	wait += rand.N(w.opts.Pause/2 + 1)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// contextError says that the caller's context is over, and why.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
