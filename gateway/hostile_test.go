package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
)

// Clients that open streams and never read hold up no other, and no more of their
// deliveries is made than their credit and the windows of their connections cover.
func TestClientsThatNeverReadHoldUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Options{})
	large := strings.Repeat("x", 256<<10)
	for n := range uint64(12) {
		w.write(n+1, large)
	}
	beginning := pb.Start_START_FROM_BEGINNING
	open := func() *pb.Open {
		return &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: &beginning, MaxMessageBytes: 64 << 10}
	}
	for range 3 { // more than may catch up at a time
		w.subscribe(open()) // and no Recv
	}
	good := w.mustOpen(open())
	for n := range 12 {
		var batch bytes.Buffer
		number := uint64(0)
		for last := false; !last; {
			for _, d := range good.changes(1, nil) {
				if part := d.GetPart(); part != nil {
					number, last = d.number, part.Last
					batch.Write(part.Data)
				}
			}
		}
		if batch.Len() < len(large) {
			t.Fatalf("batch %d has %d bytes", n, batch.Len())
		}
		good.handled(number)
	}
}

// A server refuses a message that is too large without reading it, and the connection's
// other streams go on.
func TestOversizeMessages(t *testing.T) {
	w := newWorld(t, gateway.Options{Limits: gateway.Limits{MessageBytes: 64 << 10, HeaderBytes: 4 << 10}})
	conn := w.connect()
	open := func() *rawStream {
		ctx, cancel := context.WithCancel(w.context())
		t.Cleanup(cancel)
		s, err := pb.NewSubscriptionServiceClient(conn).Subscribe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		r := &rawStream{t: t, stream: s, cancel: cancel}
		r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: clientHeld()}})
		return r
	}
	good, bad := open(), open()
	bad.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Failed{Failed: &pb.Failed{Reason: strings.Repeat("x", 65<<10)}}})
	if err := bad.end(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a large message ends its stream with %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(w.context(), "x", strings.Repeat("x", 5<<10))
	if _, err := pb.NewEventServiceClient(conn).Read(ctx, &pb.ReadRequest{Key: convert.KeyMessage(keyOf(1))}); err == nil || status.Code(err) == codes.NotFound {
		t.Errorf("large metadata: %v", err)
	}
	w.write(1, "a")
	for _, d := range good.changes(1, noPositions) {
		if d.GetCaughtUp() == nil && d.describe() != "1.1" {
			t.Errorf("the other stream gets %s", d.describe())
		}
	}
}

// Numbers that were acknowledged, went backwards, or belong to another stream end their
// stream only.
func TestNumbersOfAnotherStreamAreRefused(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	for n := range uint64(5) {
		w.write(n+1, "a")
	}
	many, few := w.mustOpen(clientHeld()), w.mustOpen(clientHeld())
	many.changes(6, noPositions)
	one := few.changes(1, noPositions)[0]
	few.handled(one.number + 1000)
	if err := few.end(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a number of nobody's ended with %v", err)
	}
	for name, ranges := range map[string][]uint64{"twice": {1, 1}, "backwards": {2, 1}} {
		r := w.mustOpen(clientHeld())
		r.changes(6, noPositions)
		r.handled(ranges...)
		if err := r.end(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	many.handled(1, 2, 3)
	w.write(9, "b")
	for {
		if d := many.changes(1, noPositions)[0]; d.describe() == "9.1" {
			return
		}
	}
}

// A flood of streams is refused beyond the bound of its caller, with the time to wait, and
// another caller's stream goes on.
func TestAFloodOfStreams(t *testing.T) {
	auth := newAuthFile(t, map[string]string{"flood": `"read":["*"]`, "good": `"read":["*"]`})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, Limits: gateway.Limits{StreamsPerCaller: 5}})
	as := func(name string) grpc.DialOption { return grpc.WithPerRPCCredentials(rawToken(auth.keys[name])) }
	live := func() *pb.Open {
		return &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}}
	}
	good := w.mustOpen(live(), as("good"))
	good.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetState().GetPhase() == pb.Phase_PHASE_LIVE })
	for n := range 20 {
		r := w.subscribe(live(), as("flood"))
		_, err := r.stream.Recv()
		if refused := status.Code(err) == codes.ResourceExhausted; refused != (n >= 5) {
			t.Fatalf("stream %d: %v", n, err)
		}
	}
	w.write(1, "a")
	for {
		if d := good.changes(1, nil)[0]; d.GetBatch() != nil {
			if got := fmt.Sprint(d.describe()); got != "1.1" {
				t.Errorf("the good caller gets %s", got)
			}
			return
		}
	}
}
