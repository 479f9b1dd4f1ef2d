package writer

import (
	"errors"

	"github.com/celeriant/celeriant-go/msg"
)

// writeResult is what the answer to a write says about its client sequence.
type writeResult uint8

const (
	rejected       writeResult = iota // not applied; the sequence is unused
	applied                           // applied
	conflicted                        // not applied: the aggregate has moved on
	sequenceStored                    // not applied: the sequence, or one above, is stored
	outcomeUnknown                    // may have been applied, or yet be
)

func resultOf(resp *msg.WriteResponse, err error) writeResult {
	switch {
	case err == nil && resp.MaxVersion.Set:
		return applied
	case err == nil, errors.Is(err, msg.ErrInFlight):
		return outcomeUnknown
	case errors.Is(err, msg.ErrDuplicate):
		return sequenceStored
	case errors.Is(err, msg.ErrConflict):
		return conflicted
	case msg.Ambiguous(err):
		return outcomeUnknown
	}
	return rejected
}

// sequenceClaim is the range of client sequences that a command writes under.
type sequenceClaim struct {
	held        bool
	first, last uint64 // the widest range written
	// unresolved: something written under the claim may have been applied, or yet be.
	unresolved bool
	// fromEarlierCall: the claim was made by an earlier call, which may have
	// written a longer range than is known.
	fromEarlierCall bool
	// superseded: a node holds sequences above the whole range.
	superseded bool
	// minSeq is the highest sequence a node is known to hold; the next claim lies
	// above it.
	minSeq uint64
}

// recordStored takes in a node's refusal of the sequence as stored already. The
// batch that holds it may be the command's own, by a transmission whose answer
// was lost.
func (c *sequenceClaim) recordStored(refusal error) {
	c.unresolved = true
	var server *msg.ServerError
	if !errors.As(refusal, &server) {
		return
	}
	if stored, ok := server.Fields.LastClientSeq.Get(); ok {
		c.minSeq = max(c.minSeq, stored)
		c.superseded = !c.fromEarlierCall && stored > c.last
	}
}

// usable decides whether the next write must, or can, use the claim again.
//
// An unresolved claim is given up only when it is certain that its batch neither
// is in the log nor will get there:
//
//   - The client's own log shows the sequence, or one above, in another batch.
//     Had this one been accepted earlier it would stand before that batch and be
//     seen; now it is refused, since nodes only accept sequences above the
//     highest they have.
//   - The node holds a sequence above (say, of an earlier life of the
//     aggregate), the whole aggregate is read, and the next write is conditional:
//     it succeeds only if everything up to now has been read, this command's batch
//     not among it.
//
// Both need a log without gaps since the first try: a batch that may have been
// trimmed or deleted again cannot be missed.
func (c *sequenceClaim) usable(seen *observed, readsAll bool) bool {
	if !c.held {
		return false
	}
	used := seen.maxOwnSeq >= c.first
	if !c.unresolved {
		return !used
	}
	if seen.historyChanged || c.fromEarlierCall && seen.trimmed {
		return true
	}
	return !used && !(c.superseded && readsAll)
}
