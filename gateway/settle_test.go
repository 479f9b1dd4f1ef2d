package gateway

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/delivery"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// A stream that its client has half-closed waits for a verdict that was given, also
// before the pump has taken it.
func TestAVerdictKeepsTheStreamFromSettling(t *testing.T) {
	ses := &session{
		server: new(Server), conf: &config{holder: byGateway}, wake: make(chan struct{}, 1),
		ledger: delivery.NewLedger(delivery.Limits{Changes: 10, Bytes: 1 << 20}),
	}
	ses.out.init(func() {})
	ses.ctx, ses.cancel = context.WithCancelCause(context.Background())
	defer ses.cancel(nil)
	ses.store = &namedPositions{ses: ses}
	c := &stream.Change{Kind: stream.Batch, Key: msg.Key{Aggregate: msg.IDFromUint64(1)}, Cursor: checkpoint.Cursor{Version: 1}}
	number := ses.ledger.Add(c, 1)
	if err := ses.failed(&pb.Failed{Delivery: number, Verdict: pb.Verdict_VERDICT_PARK}); err != nil {
		t.Fatal(err)
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.leaving, ses.halfClosed = true, true
	ses.settleLocked()
	if _, settled := ses.out.next(); settled {
		t.Error("the stream settled with a verdict that is not carried out")
	}
}
