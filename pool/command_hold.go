package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// reply is what the answer to a write says about its client sequence.
type reply uint8

const (
	refused     reply = iota // not applied; nothing was used
	applied                  // applied
	conflicting              // not applied: the aggregate has moved on
	taken                    // not applied: the sequence, or one above, is stored
	unsure                   // may be applied, or yet be
)

func replyOf(resp *msg.WriteResponse, err error) reply {
	switch {
	case err == nil && resp.MaxVersion.Set:
		return applied
	case err == nil, errors.Is(err, msg.ErrInFlight):
		return unsure
	case errors.Is(err, msg.ErrDuplicate):
		return taken
	case errors.Is(err, msg.ErrConflict):
		return conflicting
	case msg.Ambiguous(err):
		return unsure
	}
	return refused
}

// hold is the claim a command works under.
type hold struct {
	set         bool
	first, last uint64 // the widest range written
	// open: something written under it may be applied or yet be.
	open bool
	// inherited: it was written in an earlier call, about which no more is known.
	inherited bool
	// passed: a node holds sequences above the whole range.
	passed bool
	// floor is the highest sequence a node is known to hold.
	floor uint64
}

// note takes in what a node says it holds.
func (h *hold) note(refusal error) {
	// Whoever stored it, it may be this command, by a transmission whose answer
	// was lost on the way.
	h.open = true
	var server *msg.ServerError
	if !errors.As(refusal, &server) {
		return
	}
	if stored, ok := server.Fields.LastClientSeq.Get(); ok {
		h.floor = max(h.floor, stored)
		h.passed = !h.inherited && stored > h.last // how far an earlier call's range went is not known
	}
}

// keep decides whether the claim must, or can, be used again.
//
// An open one is given up only when it is certain that its batch neither is in
// the log nor will get there:
//
//   - The client's own log shows the sequence, or one above, in another batch.
//     Had this one been accepted earlier it would stand before that batch and be
//     seen; now it is refused, since nodes only accept sequences above the
//     highest they have.
//   - The node holds a sequence above (say, of an earlier life of the
//     aggregate), and the next write is conditional: it succeeds only if
//     everything up to now has been read, this command's batch not among it.
//
// Both need a log without gaps since the first try: a batch that may have been
// trimmed or deleted again cannot be missed.
func (h *hold) keep(seen *sighting, conditional bool) bool {
	if !h.set {
		return false
	}
	used := seen.ownMax >= h.first
	if !h.open {
		return !used
	}
	if seen.broken || h.inherited && seen.trimmed {
		return true
	}
	return !used && !(h.passed && conditional)
}

// Ownership says whose batch holds a client sequence.
type Ownership uint8

const (
	// OwnerUnreadable: no batch with the sequence can be read (yet, or any more).
	OwnerUnreadable Ownership = iota
	// OwnedByCommand: the command's own batch; it has been applied.
	OwnedByCommand
	// OwnedByOther: the batch of somebody else who writes under the same client
	// id; the command has not been applied under this sequence.
	OwnedByOther
)

// String returns the ownership in words.
func (o Ownership) String() string {
	switch o {
	case OwnerUnreadable:
		return "unreadable"
	case OwnedByCommand:
		return "owned by the command"
	case OwnedByOther:
		return "owned by another"
	}
	return fmt.Sprintf("ownership %d", uint8(o))
}

// Owner reads which batch holds a sequence of the writer's client id, and
// returns its version unless it is unreadable. That a node refuses a sequence
// as stored (msg.ErrDuplicate) is no proof that it is the own one.
func (w *Writer) Owner(ctx context.Context, key msg.Key, seq uint64, command msg.ID) (Ownership, uint64, error) {
	filters := msg.ReadFilters{
		From:            1,
		IncludeClientID: msg.Some(w.opts.ClientID),
		MinClientSeq:    msg.Some(seq),
		MaxClientSeq:    msg.Some(seq),
	}
	owner, version := OwnerUnreadable, uint64(0)
	for range mostRestarts {
		err := eachBatch(ctx, w.log, key, filters, func(batch msg.Batch) error {
			for i := range batch.Events {
				event := &batch.Events[i]
				switch {
				case batch.ClientID != w.opts.ClientID || event.ClientSeq != seq: // the filters are the node's
				case event.EventID == msg.Some(command):
					owner, version = OwnedByCommand, batch.Version
				case owner == OwnerUnreadable:
					owner, version = OwnedByOther, batch.Version
				}
			}
			return nil
		})
		if lowest, ok := floorOf(err); ok {
			filters.From = lowest
			continue
		}
		if errors.Is(err, msg.ErrNotFound) {
			err = nil
		}
		return owner, version, err
	}
	return OwnerUnreadable, 0, nil
}
