package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
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
