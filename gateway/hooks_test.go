package gateway_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
)

// heard is what hooks, and gRPC's own events, were told.
type heard struct {
	mu                            sync.Mutex
	calls, denials, evictions, at []string
}

func (h *heard) add(list *[]string, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, text)
}

func (h *heard) hooks() gateway.Hooks {
	return gateway.Hooks{
		Called: func(method, status string, took time.Duration) {
			if took > 0 {
				h.add(&h.calls, method+" "+status)
			}
		},
		Denied:  func(method, reason string) { h.add(&h.denials, method+" "+reason) },
		Evicted: func(reason string) { h.add(&h.evictions, reason) },
	}
}

func (h *heard) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	h.add(&h.at, info.FullMethodName)
	return ctx
}
func (h *heard) HandleRPC(context.Context, stats.RPCStats) {}
func (h *heard) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}
func (h *heard) HandleConn(context.Context, stats.ConnStats) {}

// expect compares a list of what was told with what is wanted.
func (h *heard) expect(t *testing.T, list *[]string, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := slices.Compact(slices.Clone(*list)); !slices.Equal(got, want) { // a right may be looked at twice
		t.Errorf("told of %q, want %q", got, want)
	}
}

// Hooks are told of calls with their status, of denials, and of streams that the gateway
// ends; not of those whose client leaves, nor of those that end with the gateway.
func TestHooksAreToldOfCallsDenialsAndEvictions(t *testing.T) {
	t.Parallel()
	const read, subscribe = "celeriant.gateway.v1.EventService/Read", "celeriant.gateway.v1.SubscriptionService/Subscribe"
	h := new(heard)
	right := `"read":["` + org.String() + `"]`
	auth := newAuthFile(t, map[string]string{"loses": right, "keeps": right})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, Hooks: h.hooks(), StatsHandler: h})
	w.write(1, "a")
	as := func(caller string) grpc.DialOption {
		return grpc.WithPerRPCCredentials(rawToken(auth.keys[caller]))
	}
	loses, leaves := w.mustOpen(clientHeld(), as("loses")), w.mustOpen(clientHeld(), as("keeps"))
	loses.changes(1, noPositions)
	leaves.changes(1, noPositions)
	leaves.cancel()
	waitFor(t, func() bool { return len(w.server.Streams()) == 1 && w.server.Streams()[0].Open == 1 }, func() string { return "the stream of the client that left is there" })
	call := func() {
		_, err := pb.NewEventServiceClient(w.connect(as("loses"))).Read(w.context(), &pb.ReadRequest{Key: convert.KeyMessage(keyOf(1))})
		if code := status.Code(err); code != codes.OK && code != codes.PermissionDenied {
			t.Error(err)
		}
	}
	call()
	h.expect(t, &h.denials)
	h.expect(t, &h.evictions)
	auth.change(map[string]string{"loses": "", "keeps": right})
	if err := loses.end(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the stream without a right ended with %v", err)
	}
	call()
	h.expect(t, &h.calls, read+" OK", read+" PERMISSION_DENIED")
	h.expect(t, &h.denials, subscribe+" denied", read+" denied")
	h.expect(t, &h.evictions, "denied")
	h.expect(t, &h.at, "/"+subscribe, "/"+read)

	last := w.mustOpen(clientHeld(), as("keeps"))
	last.changes(1, noPositions)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.server.Shutdown(ctx); err == nil {
		t.Error("a shutdown without time succeeded with a stream open")
	}
	h.expect(t, &h.evictions, "denied")
}
