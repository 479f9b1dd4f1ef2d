package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

// Clients that never read hold what is read ahead of each, and no more; a budget bounds
// all of them together. A subscription beyond the budget is refused, and there is room for
// it when another one has ended.
//
//covers:g20
func TestClientsThatNeverReadStayInTheirMemory(t *testing.T) {
	t.Parallel()
	const (
		room    = 4
		batches = 10
		size    = 32 << 10
		page    = 128 << 10
		// Each of the eight reads at work asks for a whole aggregate before the size of
		// its batches is known.
		most = gateway.ReadAhead + 8*batches*(size+1<<10)
	)
	node := celerianttest.Run(t, celerianttest.Options{})
	store, err := celeriant.Connect(node.Addr(), celeriant.WithMemoryBudget(room*gateway.ReadAhead))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIn(t, store.Close) })
	w := &world{t: t, node: node, store: store}
	w.server, w.address = serve(t, store, gateway.Options{Limits: gateway.Limits{CatchUps: 2 * room, CatchUpsPerCaller: 2 * room}})
	value := strings.Repeat("x", size)
	for n := range uint64(20) {
		w.write(n+1, slices.Repeat([]string{value}, batches)...)
	}
	beginning := pb.Start_START_FROM_BEGINNING
	open := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: &beginning}
	var deaf []*rawStream
	for range room {
		deaf = append(deaf, w.mustOpen(open))
	}
	var bytes []int64
	var messages []int
	full := func(held int64) bool { return held > gateway.ReadAhead-2*page } // else there is room for a page
	waitFor(t, func() bool {
		bytes, messages = w.server.Held()
		for i := range bytes {
			if bytes[i] > most || messages[i] > gateway.QueuedFrames {
				t.Fatalf("%d bytes and %d messages are held for one client", bytes[i], messages[i])
			}
		}
		return len(bytes) == room && !slices.ContainsFunc(bytes, func(held int64) bool { return !full(held) })
	}, func() string { return fmt.Sprintf("held are %d bytes and %d messages", bytes, messages) })
	refused := w.subscribe(open)
	if err := refused.end(); status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("beyond the budget a stream ends with %v", err)
	}
	deaf[0].cancel()
	waitFor(t, func() bool {
		r := w.subscribe(open)
		defer r.cancel()
		for {
			m, err := r.stream.Recv()
			if err != nil {
				return false
			}
			if m.GetChanges() != nil {
				return true
			}
		}
	}, func() string { return "no stream opens in the place of one that has ended" })
}
