package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// mostRestarts bounds how often one catch-up follows a trim floor that moves.
const mostRestarts = 4

// sighting is what reading an aggregate has shown about a command.
type sighting struct {
	version uint64 // of the aggregate, as writes are compared with
	ownMax  uint64 // the highest sequence of the own client id, ever seen
	landed  msg.Opt[uint64]
	told    uint64 // by a conflict: the version that counts
	trimmed bool   // the beginning was not readable
	broken  bool   // something seen before is no longer there
}

// hear takes in the version that a conflict names.
func (s *sighting) hear(conflict error) {
	var refusal *msg.ServerError
	if errors.As(conflict, &refusal) {
		s.told = refusal.Fields.CurrentVersion.Or(0)
	}
}

// history is an aggregate as far as it was read, folded into a state.
type history[S any] struct {
	log      Log
	me       msg.ID
	cmd      Command
	decision Decision[S]
	ownOnly  bool // read the own batches only

	state  S
	latest msg.Batch // the last one folded
	began  bool      // there is one
	sight  sighting
}

func (h *history[S]) seen() *sighting { return &h.sight }

func (h *history[S]) decide() ([]msg.Event, error) {
	return h.decision.Decide(h.state, h.sight.version)
}

// catchUp folds what was appended since the last time. The batch folded last is
// read again: if it is no longer the same the aggregate has begun anew, and so
// must the state.
func (h *history[S]) catchUp(ctx context.Context) error {
	resumed, err := false, error(nil)
	if h.began {
		resumed, err = h.resume(ctx)
		h.sight.broken = h.sight.broken || !resumed && err == nil
	}
	if !resumed && err == nil {
		err = h.restart(ctx)
	}
	if err != nil {
		return err
	}
	return h.highWater(ctx)
}

// highWater finds the version that counts when an aggregate has begun anew: its
// first batch is version 1 again, and until there is a second one writes are
// compared with the version at which it was deleted. A conflict has named it;
// the details tell it from batches that are only not readable yet. Server
// semantics 4.3.
func (h *history[S]) highWater(ctx context.Context) error {
	if h.ownOnly || !h.began || h.latest.Version != 1 || h.sight.told <= 1 {
		return nil
	}
	details, err := h.log.Details(ctx, h.cmd.Key)
	if err != nil {
		return err
	}
	newest := details.LastServerTimestamp == h.latest.ServerTimestamp && details.LastClientID == h.latest.ClientID
	if newest && !details.Deleted && details.MaxVersion == h.sight.told {
		h.sight.version = h.sight.told
	}
	return nil
}

func (h *history[S]) resume(ctx context.Context) (bool, error) {
	verified, differs := false, errors.New("another batch")
	err := eachBatch(ctx, h.log, h.cmd.Key, h.filters(h.latest.Version), func(batch msg.Batch) error {
		if verified {
			return h.fold(batch)
		}
		if !sameBatch(batch, h.latest) {
			return differs
		}
		verified = true
		return nil
	})
	_, trimmed := floorOf(err)
	if err == differs || trimmed || errors.Is(err, msg.ErrNotFound) {
		return false, nil
	}
	return verified, err
}

// restart folds the aggregate from its beginning, or from what is left of it.
func (h *history[S]) restart(ctx context.Context) error {
	h.sight.trimmed = false
	from := uint64(1)
	for range mostRestarts {
		h.clear()
		err := eachBatch(ctx, h.log, h.cmd.Key, h.filters(from), h.fold)
		if lowest, ok := floorOf(err); ok {
			from, h.sight.trimmed = lowest, true
			continue
		}
		if errors.Is(err, msg.ErrNotFound) {
			return h.absent(ctx)
		}
		return err
	}
	return h.disagreement("the trim floor has moved with every read")
}

func (h *history[S]) clear() {
	var zero S
	h.state, h.began, h.latest, h.sight.version = zero, false, msg.Batch{}, 0
	if h.decision.New != nil {
		h.state = h.decision.New()
	}
}

// absent tells an aggregate never seen, whose version is 0, from a deleted one,
// which keeps the version it had.
func (h *history[S]) absent(ctx context.Context) error {
	h.clear()
	if h.ownOnly {
		return nil
	}
	details, err := h.log.Details(ctx, h.cmd.Key)
	switch {
	case errors.Is(err, msg.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !details.Deleted:
		return h.disagreement("a read says that the aggregate does not exist, its details that it does")
	}
	h.sight.version = details.MaxVersion
	return nil
}

// fold takes in one batch.
func (h *history[S]) fold(batch msg.Batch) error {
	if h.decision.Apply != nil {
		state, err := h.decision.Apply(h.state, batch)
		if err != nil {
			return &applyError{batch.Version, err}
		}
		h.state = state
	}
	h.latest, h.began, h.sight.version = batch, true, batch.Version
	if batch.ClientID != h.me {
		return nil
	}
	for i := range batch.Events {
		h.sight.ownMax = max(h.sight.ownMax, batch.Events[i].ClientSeq)
		if batch.Events[i].EventID == msg.Some(h.cmd.ID) {
			h.sight.landed = msg.Some(batch.Version)
		}
	}
	return nil
}

func (h *history[S]) filters(from uint64) msg.ReadFilters {
	filters := msg.ReadFilters{From: from}
	if h.ownOnly {
		filters.IncludeClientID = msg.Some(h.me)
	}
	return filters
}

func (h *history[S]) disagreement(what string) error {
	return &Error{Op: msg.TypeReadRequest.String(), Key: msg.Some(h.cmd.Key), Err: errors.New(what)}
}

// eachBatch hands the batches of a read to visit until it fails.
func eachBatch(ctx context.Context, log Log, key msg.Key, filters msg.ReadFilters, visit func(msg.Batch) error) error {
	for batch, err := range log.ReadAll(ctx, key, filters) {
		if err != nil {
			return err
		}
		if err := visit(batch); err != nil {
			return err
		}
	}
	return nil
}

// floorOf returns the lowest version that a read below the trim floor was told.
func floorOf(err error) (uint64, bool) {
	var refusal *msg.ServerError
	if !errors.Is(err, msg.ErrTrimmed) || !errors.As(err, &refusal) {
		return 0, false
	}
	return refusal.Fields.MinimumAvailable.Get()
}

// applyError is the failure of a handler's Apply; it will fail again.
type applyError struct {
	version uint64
	err     error
}

func (e *applyError) Error() string { return fmt.Sprintf("applying version %d: %v", e.version, e.err) }
func (e *applyError) Unwrap() error { return e.err }
