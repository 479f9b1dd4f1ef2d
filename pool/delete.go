package pool

import (
	"context"

	"github.com/celeriant/celeriant-go/msg"
)

// DeleteOptions are the conditions of DeleteAggregate. The zero value deletes whatever the
// version is, for good: no later write brings the aggregate back.
type DeleteOptions struct {
	// ExpectedVersion, when set, must be the current version (else msg.ErrConflict).
	ExpectedVersion msg.Opt[uint64]
	// AllowRecreate lets a later write bring the aggregate back.
	AllowRecreate bool
	// AllowSequenceContinuation makes a recreated aggregate go on counting instead of
	// starting at 1.
	AllowSequenceContinuation bool
	// UserID is stored with the delete.
	UserID msg.Opt[msg.ID]
}

// DeleteAggregate deletes one aggregate. Without an expected version it is not sent
// again when its outcome is unknown: it might delete what was created again
// meanwhile. One that does not exist, or is deleted already, is msg.ErrNotFound. Delete
// does the same for several aggregates, all or none.
func (o *operations) DeleteAggregate(ctx context.Context, key msg.Key, clientID msg.ID, opts DeleteOptions) error {
	return o.Delete(ctx, &msg.DeleteRequest{
		ClientID: clientID,
		UserID:   opts.UserID,
		Deletes: []msg.AggregateDelete{{
			Key:                       key,
			ExpectedVersion:           opts.ExpectedVersion,
			AllowRecreate:             opts.AllowRecreate,
			AllowSequenceContinuation: opts.AllowSequenceContinuation,
		}},
	})
}
