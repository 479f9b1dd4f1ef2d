package gateway_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
)

// trickle is a connection whose owner reads one byte a second once it is slow.
type trickle struct {
	net.Conn
	slow *atomic.Bool
	gone chan struct{}
}

func (c trickle) Read(p []byte) (int, error) {
	if !c.slow.Load() {
		return c.Conn.Read(p)
	}
	select {
	case <-time.After(time.Second):
	case <-c.gone:
		return 0, net.ErrClosed
	}
	return c.Conn.Read(p[:1])
}

// trickling makes connections slow when it is told to, until gone is closed.
func trickling(gone chan struct{}) (grpc.DialOption, *atomic.Bool) {
	slow := new(atomic.Bool)
	return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		return trickle{conn, slow, gone}, err
	}), slow
}

// Clients that read a byte a second, from the first message on or once they follow,
// hold up no other.
//
//covers:g20
func TestClientsThatReadAByteASecondHoldUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Options{})
	gone := make(chan struct{})
	defer close(gone)
	for range 5 {
		atOnce, slow := trickling(gone)
		w.mustOpen(clientHeld(), atOnce)
		slow.Store(true)
		later, slow := trickling(gone)
		w.mustOpen(clientHeld(), later).next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetState().GetPhase() == pb.Phase_PHASE_LIVE })
		slow.Store(true)
	}
	good := w.mustOpen(clientHeld())
	for n := range uint64(50) {
		w.write(1, strings.Repeat("x", 32<<10))
		for {
			d := good.changes(1, noPositions)[0]
			good.handled(d.number)
			if d.describe() == fmt.Sprintf("1.%d", n+1) {
				break
			}
		}
	}
}

// counted counts the bytes that came on a connection.
type counted struct {
	net.Conn
	read *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// A right that is lost ends the stream of a client that does not read, too: its
// place is free for another stream of the caller, while its connection goes on.
func TestALostRightEndsAStreamThatIsNotRead(t *testing.T) {
	t.Parallel()
	right := `"read":["` + org.String() + `"]`
	auth := newAuthFile(t, map[string]string{"a": right})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, Limits: gateway.Limits{StreamsPerCaller: 1}})
	for n := range uint64(12) {
		w.write(n+1, strings.Repeat("x", 256<<10))
	}
	as := grpc.WithPerRPCCredentials(rawToken(auth.keys["a"]))
	beginning := pb.Start_START_FROM_BEGINNING
	open := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: &beginning}
	read := new(atomic.Int64)
	deaf := w.mustOpen(open, as, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		return counted{conn, read}, err
	}))
	const window = 60 << 10 // and a little more is what the transport takes for a stream that is not read
	waitFor(t, func() bool { return read.Load() > window }, func() string { return "nothing is sent to the stream that is not read" })
	full := func() codes.Code {
		r := w.subscribe(clientHeld(), as)
		defer r.cancel()
		_, err := r.stream.Recv()
		return status.Code(err)
	}
	if code := full(); code != codes.ResourceExhausted {
		t.Fatalf("a second stream: %v", code)
	}
	auth.change(map[string]string{"a": ""})
	if code := full(); code != codes.PermissionDenied {
		t.Fatalf("a stream without the right: %v", code)
	}
	auth.change(map[string]string{"a": right})
	waitFor(t, func() bool { return full() == codes.OK }, func() string { return "the stream that is not read keeps its place" })
	if err := deaf.end(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the stream that was not read ended with %v", err)
	}
}

// A member that loses its right keeps the positions that it has acknowledged: they stay stored.
func TestALostRightLosesNoAcknowledgement(t *testing.T) {
	right := `"read":["` + org.String() + `"],"consume":["orders"]`
	auth := newAuthFile(t, map[string]string{"a": right})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, Checkpoints: newStore(t)})
	as := grpc.WithPerRPCCredentials(rawToken(auth.keys["a"]))
	w.write(1, "a", "b")
	first := w.member("m", as)
	d := first.batch()
	first.handled(d.number)
	first.stored(d.number)
	auth.change(map[string]string{"a": `"read":["` + org.String() + `"]`})
	if err := first.end(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the member ended with %v", err)
	}
	auth.change(map[string]string{"a": right})
	if d := w.member("m", as).batch(); d.describe() != "1.2" {
		t.Errorf("then comes %s", d.describe())
	}
}

// vanishing is an authenticator whose credential can end without notice.
type vanishing struct{ gone atomic.Bool }

func (v *vanishing) Authenticate(context.Context, access.Credentials) (access.Principal, error) {
	if v.gone.Load() {
		return access.Principal{}, access.ErrUnauthenticated
	}
	return access.Principal{Name: "visitor"}, nil
}

// A credential that is revoked while a stream catches up ends it, although nothing
// tells of that: the stream is authorized again and again.
//
//covers:keys
func TestARevokedCredentialEndsACatchUp(t *testing.T) {
	t.Parallel()
	auth := new(vanishing)
	w := newWorld(t, gateway.Options{Authenticator: auth, Reauthorize: 100 * time.Millisecond})
	w.write(1, "a", "b", "c")
	o := clientHeld()
	o.MaxOutstandingChanges = 1
	r := w.mustOpen(o)
	r.changes(1, noPositions)
	auth.gone.Store(true)
	if err := r.end(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the stream ended with %v", err)
	}
	if _, err := pb.NewEventServiceClient(w.connect()).Read(w.context(), &pb.ReadRequest{Key: convert.KeyMessage(keyOf(1))}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call afterwards: %v", err)
	}
}

// A flood of calls with as much metadata as may be, and more, is answered or refused,
// and another client's stream goes on meanwhile.
func TestAFloodOfMetadata(t *testing.T) {
	w := newWorld(t, gateway.Options{Limits: gateway.Limits{HeaderBytes: 8 << 10}})
	good := w.mustOpen(clientHeld())
	good.next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetState().GetPhase() == pb.Phase_PHASE_LIVE })
	flood := pb.NewEventServiceClient(w.connect())
	call := func(pairs ...string) error {
		ctx := metadata.AppendToOutgoingContext(w.context(), pairs...)
		_, err := flood.GetDetails(ctx, &pb.GetDetailsRequest{Key: convert.KeyMessage(msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(99)})})
		return err
	}
	var many []string
	for n := range 1000 {
		many = append(many, fmt.Sprintf("x-%d", n), "y")
	}
	for n := range uint64(20) {
		if err := call("x", strings.Repeat("x", 4<<10)); status.Code(err) != codes.NotFound {
			t.Errorf("metadata within the limit: %v", err)
		}
		for _, pairs := range [][]string{many, {"x", strings.Repeat("x", 1<<20)}} {
			if err := call(pairs...); err == nil || status.Code(err) == codes.NotFound {
				t.Errorf("metadata above the limit: %v", err)
			}
		}
		w.write(1, "a")
		for good.changes(1, noPositions)[0].describe() != fmt.Sprintf("1.%d", n+1) {
			continue
		}
	}
}
