package gateway

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/stream"
)

// authorizeName checks the right to a named subscription: its members read its whole
// scope, which was checked before, and consume the name. Replacing the stored scope
// needs the right to operate.
func (ses *session) authorizeName() error {
	c := ses.conf
	if c.holder != byGateway {
		return nil
	}
	if _, err := ses.server.records(); err != nil {
		return err
	}
	name := access.OfSubscription(c.effective.GetNamed().GetName())
	if err := ses.server.authorize(ses.ctx, ses.caller, "Subscribe", access.Consume, name); err != nil || !c.adopt {
		return err
	}
	return ses.server.authorize(ses.ctx, ses.caller, "Subscribe", access.Operate, name)
}

// subscribeNamed makes the stream a member of the name's group. Names belong to the
// caller's tenant.
func (ses *session) subscribeNamed() (*stream.Subscription, error) {
	c := ses.conf
	observable := ses.server.client.Watch(c.scope,
		celeriant.WithName(storedName(ses.caller, c.name)),
		celeriant.WithCheckpoints(ses.server.opts.Checkpoints),
		celeriant.WithContinuation(c.continuation),
		celeriant.WithBuffer(ses.readAhead()),
		celeriant.WithOnState(func(stream.State) { ses.out.touch() }),
		celeriant.WithStreamOptions(func(o *stream.Options) {
			o.Ownership, o.Partitions, o.AdoptScope = stream.Leased, c.partitions, c.adopt
			o.Member = ses.memberName()
		}),
	)
	return observable.Subscribe(ses.ctx)
}

// memberName is unique among the members of all callers.
func (ses *session) memberName() string {
	return ses.principal.Name + "/" + orDefault(ses.conf.member, ses.id)
}

// partition tells the client that a partition came or went, in order with its
// changes. Changes outstanding at a member that left are void.
func (ses *session) partition(sub *stream.Subscription, c stream.Change, pending *[]stream.Change) error {
	if c.Kind == stream.Gained {
		if err := ses.holdParked(sub, pending); err != nil {
			return err
		}
		ses.mu.Lock()
		ses.owned[c.Partition] = c.Owner.Epoch
		ses.mu.Unlock()
		return ses.out.put(ses.ctx, &pb.SubscribeResponse{Message: &pb.SubscribeResponse_Assigned{
			Assigned: &pb.Assigned{Partition: c.Partition, Epoch: c.Owner.Epoch},
		}})
	}
	ses.mu.Lock()
	delete(ses.owned, c.Partition)
	_, err := ses.ledger.Void(func(d *stream.Change) bool { return d.Moves() && d.Partition == c.Partition })
	ses.settleLocked()
	ses.mu.Unlock()
	if err != nil {
		return exhausted("VOID", err.Error())
	}
	signal(ses.credit)
	reason := pb.RevokeReason_REVOKE_REASON_REBALANCED
	if c.Reason == stream.Expired {
		reason = pb.RevokeReason_REVOKE_REASON_EXPIRED
	}
	return ses.out.put(ses.ctx, &pb.SubscribeResponse{Message: &pb.SubscribeResponse_Revoked{
		Revoked: &pb.Revoked{Partition: c.Partition, Epoch: c.Owner.Epoch, Reason: reason},
	}})
}

// progress notes that the client is at work.
func (ses *session) progress() {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.progressed = time.Now()
}

// inspectProgress ends the stream of a member whose handler hangs, so that its
// partitions move.
func (ses *session) inspectProgress(now time.Time) {
	if ses.conf.holder != byGateway {
		return
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if n, _ := ses.ledger.Outstanding(); n == 0 || ses.progressed.IsZero() {
		ses.progressed = now
		return
	}
	if now.Sub(ses.progressed) > ses.conf.progress {
		ses.end(&refusal{code: codes.Aborted, reason: noProgress, text: fmt.Sprintf("the member has made no progress for %v", ses.conf.progress)})
	}
}

const noProgress = "NO_PROGRESS"

// revoke tells a member that made no progress which partitions it loses for that.
// revoke is for the sender, after its last message.
func (ses *session) revoke(cause error) {
	if r := new(refusal); !errors.As(cause, &r) || r.reason != noProgress {
		return
	}
	ses.mu.Lock()
	owned := maps.Clone(ses.owned)
	ses.mu.Unlock()
	for _, partition := range slices.Sorted(maps.Keys(owned)) {
		if ses.sendOne(&pb.SubscribeResponse{Message: &pb.SubscribeResponse_Revoked{Revoked: &pb.Revoked{
			Partition: partition, Epoch: owned[partition], Reason: pb.RevokeReason_REVOKE_REASON_NO_PROGRESS,
		}}}) != nil {
			return
		}
	}
}
