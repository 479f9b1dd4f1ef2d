package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
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
	if _, ok := ses.server.opts.Checkpoints.(checkpoint.RecordStore); !ok {
		return &refusal{code: codes.FailedPrecondition, reason: "NO_CHECKPOINTS", text: "this gateway keeps no positions: let the client hold them"}
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
		celeriant.WithName(ses.principal.Tenant+"/"+c.name),
		celeriant.WithCheckpoints(ses.server.opts.Checkpoints),
		celeriant.WithContinuation(c.continuation),
		celeriant.WithBuffer(min(c.credit.Bytes, readAhead)),
		celeriant.WithOnState(func(stream.State) { ses.out.touch() }),
		celeriant.WithStreamOptions(func(o *stream.Options) {
			o.Ownership, o.Partitions, o.AdoptScope = stream.Leased, c.partitions, c.adopt
			o.Member = ses.principal.Name + "/" + orDefault(c.member, ses.id)
		}),
	)
	return observable.Subscribe(ses.ctx)
}

// partition tells the client that a partition came or went, in order with its
// changes. What is outstanding of one that went is void.
func (ses *session) partition(sub *stream.Subscription, c *stream.Change) error {
	if c.Kind == stream.Gained {
		if err := ses.holdParked(sub); err != nil {
			return err
		}
		return ses.out.put(ses.ctx, &pb.SubscribeResponse{Message: &pb.SubscribeResponse_Assigned{
			Assigned: &pb.Assigned{Partition: c.Partition, Epoch: c.Owner.Epoch},
		}})
	}
	ses.mu.Lock()
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

// holdParked keeps aggregates from being delivered that another member has parked.
func (ses *session) holdParked(sub *stream.Subscription) error {
	for p, err := range checkpoint.ListParked(ses.ctx, ses.server.opts.Checkpoints.(checkpoint.RecordStore), sub.Name()) {
		if err != nil {
			return err
		}
		sub.Hold(p.Key)
	}
	return nil
}

// namedPositions are positions in the gateway's store.
type namedPositions struct {
	checkpoint.Store
	ses *session

	// Guarded by the session's lock.
	changes []stream.Change
	ranges  []*pb.Range
	busy    bool
}

func (p *namedPositions) answer(*pb.Cursors) error {
	return invalid(errors.New("a message Cursors came, and nothing was looked up"))
}

func (p *namedPositions) storing() bool { return p.busy }

// handled implements positionStore. What comes while the store is at work is saved
// together.
func (p *namedPositions) handled(changes []stream.Change, ranges []*pb.Range) error {
	p.ses.mu.Lock()
	defer p.ses.mu.Unlock()
	p.changes, p.ranges = append(p.changes, changes...), append(p.ranges, ranges...)
	if !p.busy {
		p.busy = true
		go p.save()
	}
	return nil
}

// save stores what is acknowledged until nothing is left, and tells the client.
func (p *namedPositions) save() {
	for {
		p.ses.mu.Lock()
		changes, ranges := p.changes, p.ranges
		p.changes, p.ranges = nil, nil
		if len(changes) == 0 {
			p.busy = false
			p.ses.settleLocked()
			p.ses.mu.Unlock()
			return
		}
		sub := p.ses.sub
		p.ses.mu.Unlock()
		err := sub.Commit(context.WithoutCancel(p.ses.ctx), stream.Entries(changes))
		var lost *stream.LostError
		switch {
		case err == nil:
			p.ses.out.control(&pb.SubscribeResponse{Message: &pb.SubscribeResponse_Stored{Stored: &pb.Stored{Deliveries: ranges}}})
		case errors.As(err, &lost):
			// The others are stored; which ones is not said, so that they count as not
			// confirmed.
		default:
			p.ses.end(err)
		}
	}
}

// longestRetry bounds the pause that a client asks for.
const longestRetry = 5 * time.Minute

// failed carries out a verdict.
func (ses *session) failed(m *pb.Failed) error {
	if ses.conf.holder != byGateway {
		return invalid(errors.New("a message Failed came, which needs a named position"))
	}
	if m.GetVerdict() != pb.Verdict_VERDICT_RETRY {
		return &refusal{code: codes.Unimplemented, reason: "VERDICT", text: fmt.Sprintf("this gateway carries out no verdict but RETRY: %v came", m.GetVerdict())}
	}
	ses.mu.Lock()
	ses.progressed = time.Now()
	c, ok, err := ses.ledger.Get(m.GetDelivery())
	ses.mu.Unlock()
	switch {
	case err != nil:
		return invalid(err)
	case !ok || c.Key == (msg.Key{}):
		return nil // void already, or of no aggregate
	}
	after := time.Second
	if m.GetRetryAfter() != nil {
		after = min(max(m.GetRetryAfter().AsDuration(), 0), longestRetry)
	}
	if err := ses.enqueue(order{retry: []msg.Key{c.Key}}); err != nil {
		return err
	}
	timer := time.AfterFunc(after, func() {
		if err := ses.enqueue(order{release: []msg.Key{c.Key}}); err != nil {
			ses.end(err)
		}
	})
	context.AfterFunc(ses.ctx, func() { timer.Stop() })
	return nil
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
		ses.end(&refusal{code: codes.Aborted, reason: "NO_PROGRESS", text: fmt.Sprintf("the member has made no progress for %v", ses.conf.progress)})
	}
}
