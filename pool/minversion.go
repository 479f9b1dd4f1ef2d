package pool

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// BehindError is the cause of a read that no node could serve as fresh as
// asked: the leader itself is not at that version, so it never was, or the
// aggregate has begun a new life since.
type BehindError struct {
	Wanted uint64 // the version asked for
	Newest uint64 // the leader's
}

// Error names both versions.
func (e *BehindError) Error() string {
	return fmt.Sprintf("version %d is wanted, the leader is at %d", e.Wanted, e.Newest)
}

// ReadMin is Read by a node that has at least version min of the aggregate:
// with the version a write has returned, a program reads what it wrote,
// whatever node answers. A follower that does not show the version, or shows
// nothing, is passed over for the leader, whose word is final: it may be that
// the aggregate is deleted, or a *BehindError. At the leader this costs a
// request more than Read when the page itself does not show the version.
func (o *operations) ReadMin(ctx context.Context, req *msg.ReadRequest, min uint64) (*msg.ReadResponse, error) {
	if req == nil {
		return nil, invalid(msg.TypeReadRequest.String(), "the request is nil")
	}
	if err := checkContext(msg.TypeReadRequest.String(), ctx); err != nil {
		return nil, err
	}
	pinned, err := o.via.pin(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := fresh(ctx, pinned, req, min)
	if err == nil || !o.via.settings().RouteReadsToFollowers || ctx.Err() != nil {
		return resp, err
	}
	return fresh(ctx, o.via.leading(), req, min)
}

// fresh reads from a node that proves to be at version min. A page proves it
// by what it shows; otherwise the node is asked, and then read once more, since
// the page may be older than the proof.
func fresh(ctx context.Context, via transport, req *msg.ReadRequest, min uint64) (*msg.ReadResponse, error) {
	o := operations{via}
	resp, err := o.Read(ctx, req)
	if err != nil || shows(resp, min) {
		return resp, err
	}
	details, err := o.Details(ctx, req.Key)
	if err != nil {
		return nil, err
	}
	if details.MaxVersion < min {
		return nil, &Error{Op: msg.TypeReadRequest.String(), Node: via.node(), Key: msg.Some(req.Key), Sent: true,
			Err: &BehindError{Wanted: min, Newest: details.MaxVersion}}
	}
	return o.Read(ctx, req)
}

// shows reports whether a page proves that its node was at version min.
func shows(resp *msg.ReadResponse, min uint64) bool {
	if min == 0 || resp.NextVersion.Set && resp.NextVersion.Value >= min {
		return true
	}
	for i := range resp.Batches {
		if resp.Batches[i].Version >= min {
			return true
		}
	}
	return false
}
