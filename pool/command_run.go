package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// past is the part of a history that does not depend on the type of its state.
type past interface {
	catchUp(ctx context.Context) error
	decide() ([]msg.Event, error)
	seen() *sighting
}

// execution is one call of a command.
type execution struct {
	*Writer
	cmd         Command
	past        past
	conditional bool
	claim       hold
	sent        int
}

// run is the loop of Execute and Append.
func (w *Writer) run(ctx context.Context, cmd Command, p past, conditional bool) (Outcome, error) {
	x := &execution{Writer: w, cmd: cmd, past: p, conditional: conditional}
	if cmd.ID.IsZero() {
		return x.fail(fmt.Errorf("%w: a command needs an id", ErrInvalid))
	}
	leave, err := w.lanes.enter(ctx, cmd.Key)
	if err != nil {
		return x.fail(err)
	}
	defer leave()
	if err := x.recall(ctx); err != nil {
		return x.fail(err)
	}
	var last error
	for try := range w.opts.Tries {
		if err := w.pause(ctx, try); err != nil {
			return x.fail(x.settle(ctx, errors.Join(err, last)))
		}
		outcome, done, err := x.try(ctx)
		switch {
		case done && err == nil:
			return outcome, x.settle(ctx, nil)
		case done:
			return x.fail(x.settle(ctx, err))
		}
		last = err
	}
	return x.fail(x.settle(ctx, fmt.Errorf("%w: %w", ErrTries, last)))
}

// recall takes up the claim of an earlier call that did not learn its outcome.
func (x *execution) recall(ctx context.Context) error {
	first, err := x.opts.Sequences.Open(ctx, x.cmd.Key, x.cmd.ID)
	if err != nil {
		return err
	}
	if first.Set {
		x.claim = hold{set: true, first: first.Value, last: first.Value, open: true, inherited: true}
	}
	return nil
}

// try catches up, decides and writes, once. done is false when another try may
// do better.
func (x *execution) try(ctx context.Context) (outcome Outcome, done bool, err error) {
	if err := x.past.catchUp(ctx); err != nil {
		return Outcome{}, !msg.SafeToRetry(err), fmt.Errorf("catching up: %w", err)
	}
	seen := x.past.seen()
	if version, ok := seen.landed.Get(); ok {
		return x.found(version), true, nil
	}
	events, err := x.past.decide()
	if err != nil {
		return Outcome{}, true, fmt.Errorf("deciding: %w", err)
	}
	if len(events) == 0 {
		if x.claim.open {
			return Outcome{}, true, errors.New("nothing to append now, but an earlier try may still be applied")
		}
		return Outcome{Version: seen.version, Tries: x.sent}, true, nil
	}
	if err := x.take(ctx, len(events)); err != nil {
		return Outcome{}, true, err
	}
	if events, err = x.number(events); err != nil {
		return Outcome{}, true, err
	}
	return x.write(ctx, events)
}

// take makes sure of a claim: the one that is held, unless it is certain that
// nothing written under it is or will be applied, and it can no longer be used.
func (x *execution) take(ctx context.Context, count int) error {
	seen := x.past.seen()
	if x.claim.keep(seen, x.conditional) {
		x.claim.last = max(x.claim.last, x.claim.first+uint64(count)-1)
		return nil
	}
	floor := max(seen.ownMax, x.claim.floor)
	first, err := x.opts.Sequences.Claim(ctx, x.cmd.Key, x.cmd.ID, count, floor)
	if err != nil {
		return err
	}
	x.claim = hold{set: true, first: first, last: first + uint64(count) - 1, floor: floor}
	return nil
}

// number gives the events their sequences and the first one the command's id.
func (x *execution) number(events []msg.Event) ([]msg.Event, error) {
	events = slices.Clone(events)
	if id, ok := events[0].EventID.Get(); ok && id != x.cmd.ID {
		return nil, fmt.Errorf("%w: the first event has id %v of its own, the command is %v", ErrInvalid, id, x.cmd.ID)
	}
	events[0].EventID = msg.Some(x.cmd.ID)
	for i := range events {
		events[i].ClientSeq = x.claim.first + uint64(i)
	}
	return events, nil
}

// write sends the batch and judges the answer.
func (x *execution) write(ctx context.Context, events []msg.Event) (Outcome, bool, error) {
	part := msg.AggregateWrite{Key: x.cmd.Key, Events: events, AllowCreate: !x.cmd.DenyCreate, EnforceIdempotency: true}
	if x.conditional {
		part.ExpectedVersion = msg.Some(x.past.seen().version)
	}
	x.sent++
	resp, err := x.log.Write(ctx, &msg.WriteRequest{ClientID: x.opts.ClientID, UserID: x.cmd.UserID, Writes: []msg.AggregateWrite{part}})
	switch replyOf(resp, err) {
	case applied:
		return Outcome{Version: resp.MaxVersion.Value, Appended: true, Tries: x.sent}, true, nil
	case conflicting:
		// Behind an answer that was lost, the conflict may be with oneself.
		x.claim.open = x.claim.open || msg.Ambiguous(err)
		x.past.seen().hear(err)
		return Outcome{}, false, err
	case unsure:
		x.claim.open = true
		if err == nil {
			err = violation("acknowledgement of one aggregate names no version")
		}
		return Outcome{}, false, err
	case taken:
		return x.resolve(ctx, err)
	}
	return Outcome{}, !msg.SafeToRetry(err), err
}

// resolve finds out who has used the sequence that a node says is stored.
func (x *execution) resolve(ctx context.Context, refusal error) (Outcome, bool, error) {
	x.claim.note(refusal)
	owner, version, err := x.Owner(ctx, x.cmd.Key, x.claim.first, x.cmd.ID)
	if err != nil {
		return Outcome{}, !msg.SafeToRetry(err), fmt.Errorf("asking who owns client sequence %d: %w", x.claim.first, errors.Join(err, refusal))
	}
	switch owner {
	case OwnedByCommand:
		return x.found(version), true, nil
	case OwnedByOther:
		x.claim = hold{floor: x.claim.floor}
		return Outcome{}, false, refusal
	}
	return Outcome{}, false, fmt.Errorf("%w: the batch of client sequence %d is not readable", refusal, x.claim.first)
}

// found is the outcome of a command whose batch was found.
func (x *execution) found(version uint64) Outcome {
	return Outcome{Version: version, Appended: true, Before: true, Tries: x.sent}
}

// settle ends the claim when nothing is open any more. That it could not be
// settled does not change what became of the command: at worst its claim is
// asked about again.
func (x *execution) settle(ctx context.Context, err error) error {
	if err == nil || !x.claim.open {
		_ = x.opts.Sequences.Settle(context.WithoutCancel(ctx), x.cmd.Key, x.cmd.ID)
	}
	return err
}

func (x *execution) fail(err error) (Outcome, error) {
	return Outcome{}, &CommandError{Command: x.cmd.ID, Key: x.cmd.Key, Tries: x.sent, Unknown: x.claim.open, Err: err}
}

// pause waits before every try but the first.
func (w *Writer) pause(ctx context.Context, try int) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if try == 0 {
		return nil
	}
	wait := min(w.opts.Pause<<min(try-1, 10), longestPause)
	wait += rand.N(w.opts.Pause/2 + 1)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}
