package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/delivery"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// inspected is a session of a member with one delivery outstanding.
func inspected(t *testing.T) *session {
	t.Helper()
	ses := &session{
		server: new(Server), conf: &config{holder: byGateway, progress: time.Minute},
		ledger: delivery.NewLedger(delivery.Limits{Changes: 10, Bytes: 1 << 20}),
	}
	ses.ctx, ses.cancel = context.WithCancelCause(context.Background())
	t.Cleanup(func() { ses.cancel(nil) })
	ses.ledger.Add(&stream.Change{Kind: stream.Batch, Key: msg.Key{Aggregate: msg.IDFromUint64(1)}, Cursor: checkpoint.Cursor{Version: 1}}, 1)
	return ses
}

func reasonOf(ses *session) string {
	if r := new(refusal); errors.As(context.Cause(ses.ctx), &r) {
		return r.reason
	}
	return ""
}

// A member whose handler hangs ends, so that its partitions move; one that says that it
// is at work does not, and none without anything outstanding.
func TestNoProgressEndsAMember(t *testing.T) {
	begin := time.Now()
	hangs, works, idle := inspected(t), inspected(t), inspected(t)
	if _, err := idle.ledger.Handled([]delivery.Range{{First: 1, Last: 1}}); err != nil {
		t.Fatal(err)
	}
	all := []*session{hangs, works, idle}
	for _, ses := range all {
		ses.inspect(begin, false)
	}
	works.progress() // a moment after begin
	for _, ses := range all {
		ses.inspect(begin.Add(time.Minute+time.Nanosecond), false)
	}
	if r := reasonOf(hangs); r != "NO_PROGRESS" {
		t.Errorf("the member that hangs ends with %q", r)
	}
	if works.ctx.Err() != nil || idle.ctx.Err() != nil {
		t.Errorf("the others end with %q and %q", reasonOf(works), reasonOf(idle))
	}
}

// sink takes what a session sends.
type sink struct {
	subscribeStream
	sent []*pb.SubscribeResponse
}

// SendMsg implements grpc.ServerStream.
func (s *sink) SendMsg(m any) error {
	s.sent = append(s.sent, m.(*pb.SubscribeResponse))
	return nil
}

// A member whose handler hangs is told which partitions it loses, with their epochs, and
// why; one that ends for another cause is told of none.
func TestNoProgressRevokesThePartitions(t *testing.T) {
	revoked := func(end func(*session)) (all []string) {
		ses, to := inspected(t), new(sink)
		ses.out.init(ses.send)
		ses.stream, ses.owned = to, map[uint32]uint64{5: 2, 1: 7}
		end(ses)
		ses.out.finish()
		ses.revoke(context.Cause(ses.ctx))
		for _, m := range to.sent {
			r := m.GetRevoked()
			all = append(all, fmt.Sprintf("%d of epoch %d: %v", r.GetPartition(), r.GetEpoch(), r.GetReason()))
		}
		return all
	}
	begin := time.Now()
	got := revoked(func(ses *session) {
		ses.inspect(begin, false)
		ses.inspect(begin.Add(time.Minute+time.Nanosecond), false)
	})
	want := []string{"1 of epoch 7: REVOKE_REASON_NO_PROGRESS", "5 of epoch 2: REVOKE_REASON_NO_PROGRESS"}
	if !slices.Equal(got, want) {
		t.Errorf("revoked %q, want %q", got, want)
	}
	if got := revoked(func(ses *session) { ses.end(errDrained) }); len(got) > 0 {
		t.Errorf("a member that leaves is revoked %q", got)
	}
}

// A client that does not read for long loses its stream.
func TestAStalledClientEnds(t *testing.T) {
	begin := time.Now()
	ses := inspected(t)
	ses.sending.Store(begin.UnixNano())
	ses.inspect(begin.Add(stallTimeout), false)
	if ses.ctx.Err() != nil {
		t.Fatalf("it ends with %q too early", reasonOf(ses))
	}
	ses.inspect(begin.Add(stallTimeout+time.Nanosecond), false)
	if r := reasonOf(ses); r != "STALLED" {
		t.Errorf("it ends with %q", r)
	}
}

// told are the messages that a session would send now.
func told(ses *session) (all []*pb.SubscribeResponse) {
	to := new(sink)
	ses.stream = to
	ses.send()
	return to.sent
}

// The state of a subscription that changed before the session had the subscription is told
// as soon as it has, and not with the next heartbeat.
func TestAStateBeforeTheSubscriptionIsToldAgain(t *testing.T) {
	ses := inspected(t)
	ses.out.init(func() {})
	ses.out.touch() // the subscription is live
	if m := told(ses); len(m) != 1 || m[0].GetState().GetPhase() != pb.Phase_PHASE_QUEUED {
		t.Fatalf("the state without a subscription is %v", m)
	}
	ses.subscribed(nil)
	if m, _ := ses.out.next(); m != (stateDue{}) {
		t.Errorf("with the subscription %v is told, want its state", m)
	}
}

// A stream that is asked to leave sends with the lock of its session held, which the
// state needs that is told meanwhile: neither waits for the other.
func TestAStateIsToldWhileTheStreamIsAskedToLeave(t *testing.T) {
	ses := inspected(t)
	ses.out.init(func() {})
	ses.out.touch()
	ses.mu.Lock()
	m, _ := ses.out.next()
	ses.out.control(new(pb.SubscribeResponse))
	ses.mu.Unlock()
	if m != (stateDue{}) {
		t.Errorf("%v is told, want the state", m)
	}
}

// A session that settles ends when all is sent, whether its sender is at work or not.
func TestASettledSessionEndsWhenAllIsSent(t *testing.T) {
	ses := inspected(t)
	ses.out.init(func() {})
	ses.out.settle()
	if told(ses); context.Cause(ses.ctx) != errDrained {
		t.Errorf("with nothing to send it ends with %v, want %v", context.Cause(ses.ctx), errDrained)
	}
	ses = inspected(t)
	ses.out.init(func() {})
	stored := storedMessage(&pb.Range{First: 1, Last: 1})
	ses.out.control(stored)
	if m, settled := ses.out.next(); m != stored || settled { // the sender is at work
		t.Fatalf("%v is sent, and the session ends: %v", m, settled)
	}
	ses.out.settle()
	ses.out.touch()
	if m := told(ses); len(m) != 1 || context.Cause(ses.ctx) != errDrained {
		t.Errorf("%d messages are sent and it ends with %v, want the state and %v", len(m), context.Cause(ses.ctx), errDrained)
	}
}
