package pool

import (
	"context"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// WriteOptions are the conditions of WriteEvents. The zero value appends
// unconditionally and creates what does not exist.
type WriteOptions struct {
	// DenyCreate refuses an aggregate that was never seen (msg.ErrNotFound).
	DenyCreate bool
	// ExpectedVersion, when set, must be the current version, 0 for an
	// aggregate never seen (else msg.ErrConflict).
	ExpectedVersion msg.Opt[uint64]
	// EnforceIdempotency refuses events whose ClientSeq does not exceed the
	// highest one stored for this aggregate and client (msg.ErrDuplicate).
	EnforceIdempotency bool
	// UserID is stored with the batch.
	UserID msg.Opt[msg.ID]
}

// WriteEvents appends events to one aggregate as one batch and returns the
// version the batch has become. See Write for what is sent twice.
func (o *operations) WriteEvents(ctx context.Context, key msg.Key, events []msg.Event, clientID msg.ID, opts WriteOptions) (uint64, error) {
	resp, err := o.Write(ctx, &msg.WriteRequest{
		ClientID: clientID,
		UserID:   opts.UserID,
		Writes: []msg.AggregateWrite{{
			Key:                key,
			Events:             events,
			DenyCreate:         opts.DenyCreate,
			ExpectedVersion:    opts.ExpectedVersion,
			EnforceIdempotency: opts.EnforceIdempotency,
		}},
	})
	if err != nil {
		return 0, err
	}
	version, ok := resp.MaxVersion.Get()
	if !ok {
		return 0, &Error{Op: msg.TypeWriteRequest.String(), Node: o.via.node(), Key: msg.Some(key), Mutation: true, Sent: true,
			Err: conn.Violation("acknowledgement of one aggregate names no version")}
	}
	return version, nil
}
