package writer

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// maxRestarts bounds how often one catch-up follows a trim floor that moves.
const maxRestarts = 4

// observed is what reading an aggregate has shown about a command.
type observed struct {
	version         uint64          // of the aggregate, as conditional writes are compared with
	maxOwnSeq       uint64          // the highest sequence of the own client id ever seen
	appliedAt       msg.Opt[uint64] // the version of the command's batch
	conflictVersion uint64          // the aggregate's version as the last conflict named it
	trimmed         bool            // the beginning was not readable
	historyChanged  bool            // a batch seen before is no longer there
}

// recordConflict takes in the version that a conflict names.
func (o *observed) recordConflict(conflict error) {
	var refusal *msg.ServerError
	if errors.As(conflict, &refusal) {
		o.conflictVersion = refusal.Fields.CurrentVersion.Or(0)
	}
}

// history is an aggregate as far as it was read, folded into a state.
type history[S any] struct {
	log      Log
	clientID msg.ID
	cmd      Command
	decision Decision[S]
	ownOnly  bool // only the client's own batches are read

	state    S
	last     msg.Batch // the batch folded last
	hasBatch bool      // there is one
	seen     observed
}

func (h *history[S]) observed() *observed { return &h.seen }

func (h *history[S]) decide() ([]msg.Event, error) {
	return h.decision.Decide(h.state, h.seen.version)
}

// catchUp folds what was appended since the last time. The batch folded last is
// read again: if it is no longer the same the aggregate has begun anew, and so
// must the state. With head the version observed is that of the whole aggregate
// although only the client's own batches are read.
func (h *history[S]) catchUp(ctx context.Context, head bool) error {
	before := uint64(0)
	if h.ownOnly && head {
		// Asked for before the batches are read: what is in the log at this version
		// is shown by the reads that follow.
		version, err := h.headVersion(ctx)
		if err != nil {
			return err
		}
		before = version
	}
	resumed, err := false, error(nil)
	if h.hasBatch {
		resumed, err = h.resume(ctx)
		h.seen.historyChanged = h.seen.historyChanged || !resumed && err == nil
	}
	if !resumed && err == nil {
		err = h.restart(ctx)
	}
	switch {
	case err != nil:
		return err
	case h.ownOnly:
		h.seen.version = before
		return nil
	}
	return h.correctVersion(ctx)
}

// headVersion is the version that conditional writes are compared with, 0 for an
// aggregate never seen.
func (h *history[S]) headVersion(ctx context.Context) (uint64, error) {
	details, err := h.log.Details(ctx, h.cmd.Key)
	switch {
	case errors.Is(err, msg.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return details.MaxVersion, nil
}

// correctVersion finds the version that counts when an aggregate has begun anew:
// its first batch is version 1 again, and until there is a second one writes are
// compared with the version at which it was deleted. A conflict has named it;
// the details tell it from batches that are only not readable yet. Server
// semantics 4.3.
func (h *history[S]) correctVersion(ctx context.Context) error {
	if !h.hasBatch || h.last.Version != 1 || h.seen.conflictVersion <= 1 {
		return nil
	}
	details, err := h.log.Details(ctx, h.cmd.Key)
	if err != nil {
		return err
	}
	newest := details.LastServerTimestamp == h.last.ServerTimestamp && details.LastClientID == h.last.ClientID
	if newest && !details.Deleted && details.MaxVersion == h.seen.conflictVersion {
		h.seen.version = h.seen.conflictVersion
	}
	return nil
}

// resume reads on from the batch folded last, or reports false when that batch
// is no longer there.
func (h *history[S]) resume(ctx context.Context) (bool, error) {
	verified, differs := false, errors.New("another batch")
	err := eachBatch(ctx, h.log, h.cmd.Key, h.filters(h.last.Version), func(batch msg.Batch) error {
		if verified {
			return h.fold(batch)
		}
		if !batch.Equal(h.last) {
			return differs
		}
		verified = true
		return nil
	})
	_, trimmed := trimFloor(err)
	if err == differs || trimmed || errors.Is(err, msg.ErrNotFound) {
		return false, nil
	}
	return verified, err
}

// restart folds the aggregate from its beginning, or from what is left of it.
func (h *history[S]) restart(ctx context.Context) error {
	h.seen.trimmed = false
	from := uint64(1)
	for range maxRestarts {
		h.clear()
		err := eachBatch(ctx, h.log, h.cmd.Key, h.filters(from), h.fold)
		if lowest, ok := trimFloor(err); ok {
			from, h.seen.trimmed = lowest, true
			continue
		}
		if errors.Is(err, msg.ErrNotFound) {
			return h.absent(ctx)
		}
		return err
	}
	return &inconsistentError{h.cmd.Key, "the trim floor has moved with every read"}
}

func (h *history[S]) clear() {
	var zero S
	h.state, h.hasBatch, h.last, h.seen.version = zero, false, msg.Batch{}, 0
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
		return &inconsistentError{h.cmd.Key, "a read says that the aggregate does not exist, its details that it does"}
	}
	h.seen.version = details.MaxVersion
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
	h.last, h.hasBatch, h.seen.version = batch, true, batch.Version
	if batch.ClientID != h.clientID {
		return nil
	}
	for i := range batch.Events {
		h.seen.maxOwnSeq = max(h.seen.maxOwnSeq, batch.Events[i].ClientSeq)
		if batch.Events[i].EventID == msg.Some(h.cmd.ID) {
			h.seen.appliedAt = msg.Some(batch.Version)
		}
	}
	return nil
}

func (h *history[S]) filters(from uint64) msg.ReadFilters {
	filters := msg.ReadFilters{From: from}
	if h.ownOnly {
		filters.IncludeClientID = msg.Some(h.clientID)
	}
	return filters
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

// trimFloor returns the lowest readable version, as the refusal of a read below it
// names it.
func trimFloor(err error) (uint64, bool) {
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

// inconsistentError: two answers of the log contradict each other; later ones may
// not.
type inconsistentError struct {
	key msg.Key
	why string
}

func (e *inconsistentError) Error() string     { return fmt.Sprintf("reading %v: %s", e.key, e.why) }
func (e *inconsistentError) SafeToRetry() bool { return true }
