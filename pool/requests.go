package pool

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// Every operation below sends one request and returns the node's answer or an
// *Error. An operation waits for a free connection until ctx ends and for the
// answer at most RequestTimeout at each node it is sent to; when ctx ends in
// between the connection is closed and the outcome of a mutation is unknown
// (Error.Ambiguous). The request is not changed and may be shared; its
// correlation id is ignored, the pool has its own.

// Read returns one page of an aggregate's batches. A From of 0 is sent as 1.
// The answer owns its memory, which nothing else uses; its payloads share one
// buffer. Batches at or above NextVersion, if set, are not to be trusted;
// ReadAll leaves them out. Protocol section 7.2.
func (o *operations) Read(ctx context.Context, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	if req == nil {
		return nil, invalid(new(msg.ReadRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	r.Filters.From = max(r.Filters.From, 1)
	return answer[*msg.ReadResponse](o.via.do(ctx, call{req: &r, key: msg.Some(r.Key)}))
}

// Write appends batches, all or none. A write that may have been applied is
// sent again only when every part of it has an expected version, or enforced
// client sequences, which the node checks; an unconditional one is the caller's to
// judge. Enforced sequences of 0 are refused with ErrInvalid: the node would store
// the write with every repetition. Protocol section 7.3.
func (o *operations) Write(ctx context.Context, req *msg.WriteRequest) (*msg.WriteResponse, error) {
	if req == nil {
		return nil, invalid(new(msg.WriteRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	key := msg.None[msg.Key]()
	if len(r.Writes) == 1 {
		key = msg.Some(r.Writes[0].Key)
	}
	if err := r.Validate(); err != nil {
		return nil, &Error{Op: r.RequestType().String(), Key: key, Mutation: true, Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
	}
	return answer[*msg.WriteResponse](o.via.do(ctx, call{req: &r, key: key}))
}

// TrimStart raises the lowest readable version. Protocol section 7.4.
func (o *operations) TrimStart(ctx context.Context, req *msg.TrimStartRequest) error {
	if req == nil {
		return invalid(new(msg.TrimStartRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	_, err := o.via.do(ctx, call{req: &r, key: msg.Some(r.Key)})
	return err
}

// Delete deletes aggregates, all or none. About 14 fit into one request; more
// are refused with ErrTooLarge, never split. Protocol section 7.5.
func (o *operations) Delete(ctx context.Context, req *msg.DeleteRequest) error {
	if req == nil {
		return invalid(new(msg.DeleteRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	key := msg.None[msg.Key]()
	if len(r.Deletes) == 1 {
		key = msg.Some(r.Deletes[0].Key)
	}
	_, err := o.via.do(ctx, call{req: &r, key: key})
	return err
}

// Details returns the state of one aggregate, deleted or not.
// Protocol section 7.1.
func (o *operations) Details(ctx context.Context, key msg.Key) (*msg.DetailsResponse, error) {
	return answer[*msg.DetailsResponse](o.via.do(ctx, call{req: &msg.DetailsRequest{Key: key}, key: msg.Some(key)}))
}

// RegisterSchema registers the schema of one event type. A timeout may be a
// refusal in disguise: a node cannot send an error text that is too long.
// Protocol section 7.10.
func (o *operations) RegisterSchema(ctx context.Context, req *msg.RegisterSchemaRequest) error {
	if req == nil {
		return invalid(new(msg.RegisterSchemaRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	_, err := o.via.do(ctx, call{req: &r})
	return err
}

// ListOrgsPage returns one page of one shard's organisations; only an absent
// NextCursor is the end, and a cursor is of use only at the node it came from
// (see [Pool.At]). Protocol sections 7.7 and 13.
func (o *operations) ListOrgsPage(ctx context.Context, req *msg.ListOrgsRequest) (*msg.ListOrgsResponse, error) {
	if req == nil {
		return nil, invalid(new(msg.ListOrgsRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	return answer[*msg.ListOrgsResponse](o.via.do(ctx, call{req: &r}))
}

// ListTypesPage returns one page of one shard's aggregate types; only an absent
// NextCursor is the end. Protocol sections 7.8 and 13.
func (o *operations) ListTypesPage(ctx context.Context, req *msg.ListTypesRequest) (*msg.ListTypesResponse, error) {
	if req == nil {
		return nil, invalid(new(msg.ListTypesRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	return answer[*msg.ListTypesResponse](o.via.do(ctx, call{req: &r}))
}

// ListAggregatesPage returns one page of one shard's aggregates; only an
// absent NextCursor is the end. Protocol sections 7.9 and 13.
func (o *operations) ListAggregatesPage(ctx context.Context, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	if req == nil {
		return nil, invalid(new(msg.ListAggregatesRequest).RequestType().String(), "the request is nil")
	}
	r := *req
	return answer[*msg.ListAggregatesResponse](o.via.do(ctx, call{req: &r}))
}
