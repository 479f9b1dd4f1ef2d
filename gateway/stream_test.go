package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/client"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Credit bounds what a client that acknowledges nothing is sent.
func TestCreditBoundsWhatIsOutstanding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Options{})
	for n := range uint64(20) {
		w.write(n+1, "a")
	}
	open := clientHeld()
	open.MaxOutstandingChanges = 3
	r := w.mustOpen(open)
	if all := r.changes(3, noPositions); len(all) != 3 {
		t.Fatalf("%d changes at first", len(all))
	}
	// Only states follow: the next change needs an acknowledgement.
	m := r.next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetState() != nil || m.GetChanges() != nil })
	for range 2 {
		if m.GetChanges() != nil {
			t.Fatalf("a change beyond the credit: %v", m)
		}
		m = r.next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetState() != nil || m.GetChanges() != nil })
	}
	r.handled(2)
	if all := r.changes(1, noPositions); len(all) != 1 || all[0].number != 4 {
		t.Fatalf("after an acknowledgement: %v", all)
	}
}

// A batch above the client's message limit comes in parts with one number; one
// above its batch limit is unreadable, and its aggregate rests while others go on.
func TestLargeBatches(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	large := bytes.Repeat([]byte("x"), 300<<10)
	w.write(1, "a", string(large), "b")
	open := clientHeld()
	open.MaxMessageBytes = 64 << 10
	r := w.mustOpen(open)
	var joined []byte
	numbers := map[uint64]bool{}
	for parts := 0; ; {
		m := r.next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetChanges() != nil })
		if n := proto.Size(m); n > 64<<10 {
			t.Fatalf("a message of %d bytes", n)
		}
		c := m.GetChanges().Changes[0]
		if c.GetPart() == nil {
			continue
		}
		parts++
		numbers[m.GetChanges().FirstDelivery] = true
		joined = append(joined, c.GetPart().Data...)
		if len(c.Cursor) > 0 != c.GetPart().Last {
			t.Errorf("the cursor is on part %d, last %v", parts, c.GetPart().Last)
		}
		if c.GetPart().Last {
			break
		}
	}
	var batch pb.Batch
	if err := proto.Unmarshal(joined, &batch); err != nil || !bytes.Equal(batch.Events[0].Value, large) || len(numbers) != 1 {
		t.Errorf("joined %d bytes of deliveries %v: %v", len(joined), numbers, err)
	}
	open = clientHeld()
	open.MaxBatchBytes = 100 << 10
	small := w.mustOpen(open)
	w.write(2, "c")
	seen := map[string]bool{}
	for len(seen) < 4 {
		d := small.changes(1, noPositions)[0]
		if u := d.GetUnreadable(); u != nil {
			seen[fmt.Sprintf("unreadable %d", u.Version)] = true
			continue
		}
		seen[d.describe()] = true
	}
	if !seen["1.1"] || !seen["unreadable 2"] || !seen["2.1"] {
		t.Errorf("seen %v", seen)
	}
	w.write(1, "d")
	w.write(2, "e")
	for {
		d := small.changes(1, noPositions)[0]
		if d.describe() == "2.2" {
			break
		}
		if d.GetBatch() != nil {
			t.Errorf("%s came although its aggregate rests", d.describe())
		}
	}
}

// Something comes at least every five seconds, so that a silent connection is a
// lost one.
func TestStatesAreTheHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Options{})
	r := w.mustOpen(clientHeld())
	r.changes(1, noPositions)
	last := time.Now()
	for range 2 {
		r.next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetState() != nil })
		if d := time.Since(last); d > 9*time.Second { // five, and a slow machine
			t.Errorf("%v without a message", d)
		}
		last = time.Now()
	}
}

// A client that leaves acknowledges what it has, and the stream ends well.
func TestLeave(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	r := w.mustOpen(clientHeld())
	r.changes(3, noPositions)
	r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Leave{Leave: new(pb.Leave)}})
	// The answer to what is sent next tells that the gateway has it.
	r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Hold{Hold: &pb.Hold{Id: 1, Keys: convert.KeyMessages([]msg.Key{keyOf(9)})}}})
	r.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetHeld() != nil })
	w.write(1, "c")
	r.handled(1)
	r.handled(2)
	r.handled(3)
	for {
		m, err := r.stream.Recv()
		if err != nil {
			if err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
			return
		}
		if m.GetChanges() != nil {
			t.Error("a change was delivered after Leave")
		}
	}
}

// A gateway that shuts down asks its clients to go, takes what they acknowledge,
// and is gone when the last one has left.
func TestDrain(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a")
	r := w.mustOpen(clientHeld())
	r.changes(2, noPositions)
	var down sync.WaitGroup
	down.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	})
	away := r.next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetGoAway() != nil }).GetGoAway()
	if away.Reason != pb.GoAwayReason_GO_AWAY_REASON_SHUTDOWN || away.Grace.AsDuration() != 10*time.Second {
		t.Errorf("go away: %v", away)
	}
	if err := w.server.Ready(); err == nil {
		t.Error("a server that drains is ready")
	}
	if err := w.subscribe(clientHeld()).end(); status.Code(err) != codes.Unavailable {
		t.Errorf("a new stream while draining: %v", err)
	}
	r.handled(1, 2)
	if err := r.end(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
	down.Wait()
}

// Streams that catch up wait for their turn, each caller's for its own.
func TestCatchUpsAreAdmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Options{Limits: gateway.Limits{CatchUps: 1, CatchUpsPerCaller: 1}})
	w.write(1, "a")
	first := w.mustOpen(clientHeld())
	first.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetLookUp() != nil }) // left unanswered: it catches up
	second := w.mustOpen(clientHeld())
	second.next(noPositions, func(m *pb.SubscribeResponse) bool { return m.GetState().GetPhase() == pb.Phase_PHASE_QUEUED })
	first.cancel()
	second.changes(2, noPositions)
}

func TestStreamsOfACallerAreBounded(t *testing.T) {
	h := new(heard)
	w := newWorld(t, gateway.Options{Limits: gateway.Limits{StreamsPerCaller: 2}, Hooks: h.hooks()})
	w.mustOpen(clientHeld())
	second := w.mustOpen(clientHeld())
	err := w.subscribe(clientHeld()).end()
	if status.Code(err) != codes.ResourceExhausted || detail(t, err).Reason != "STREAMS_PER_CALLER" {
		t.Errorf("a third stream: %v", err)
	}
	h.expect(t, &h.denials, "celeriant.gateway.v1.SubscriptionService/Subscribe streams_per_caller")
	retry := false
	for _, d := range status.Convert(err).Details() {
		_, is := d.(interface{ GetRetryDelay() interface{} })
		retry = retry || is || fmt.Sprintf("%T", d) == "*errdetails.RetryInfo"
	}
	if !retry {
		t.Error("the refusal does not say when to come again")
	}
	second.cancel()
	_ = second.end()
	// The gateway hears of the end in its own time.
	for next := w.subscribe(clientHeld()); ; next = w.subscribe(clientHeld()) {
		if _, err = next.stream.Recv(); status.Code(err) != codes.ResourceExhausted {
			break
		}
	}
	if err != nil {
		t.Errorf("a stream in place of one that ended: %v", err)
	}
}

// Without a position the gateway remembers where the stream is, within a bound.
func TestNoPosition(t *testing.T) {
	w := newWorld(t, gateway.Options{Limits: gateway.Limits{Positions: 3}})
	w.write(1, "a")
	beginning := pb.Start_START_FROM_BEGINNING
	open := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: &beginning}
	r := w.mustOpen(open)
	all := r.changes(2, nil)
	if all[0].describe() != "1.1" || all[1].describe() != "caught up" {
		t.Errorf("changes %v", all)
	}
	r.handled(1, 2)
	w.write(1, "b")
	if d := r.changes(1, nil)[0]; d.describe() != "1.2" {
		t.Errorf("live: %s", d.describe())
	}
	r.handled(3)
	for n := range uint64(3) {
		w.write(n+2, "c")
		d := r.changes(1, nil)[0]
		r.handled(d.number)
	}
	if err := r.end(); status.Code(err) != codes.ResourceExhausted || detail(t, err).Reason != "POSITIONS" {
		t.Errorf("beyond the bound: %v", err)
	}
}

func TestLiveOnly(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	var reads atomic.Int32
	w.node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		switch f.Request.(type) {
		case *msg.ReadRequest, *msg.ListAggregatesRequest:
			reads.Add(1)
		}
		return celerianttest.Verdict{}
	})
	r := w.mustOpen(&pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}})
	if r.opened.Effective.GetStart() != pb.Start_START_LIVE_ONLY {
		t.Errorf("effective %v", r.opened.Effective)
	}
	r.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetState().GetPhase() == pb.Phase_PHASE_LIVE })
	if n := reads.Load(); n > 0 {
		t.Errorf("a stream of the present began with %d reads and lists", n)
	}
	w.write(1, "c")
	for {
		d := r.changes(1, nil)[0]
		if d.GetCaughtUp() != nil {
			continue
		}
		if d.describe() != "1.3" {
			t.Errorf("the first change is %s", d.describe())
		}
		return
	}
}

// A start from now is made once, wherever its client reconnects, and whether it was
// made through the gateway or without it: what is written afterwards is delivered.
func TestFromNowThroughTheGateway(t *testing.T) {
	for _, direct := range []bool{false, true} {
		w := newWorld(t, gateway.Options{})
		w.write(1, "old")
		store := newStore(t)
		opts := client.WatchOptions{Name: "now", Store: store, Start: stream.FromNow}
		if direct {
			sub, err := w.store.Watch(stream.Types(org, typ), append(celeriantOptions("now", store), celeriant.WithStart(stream.FromNow))...).Subscribe(w.context())
			if err != nil {
				t.Fatal(err)
			}
			awaitKind(t, w, sub, stream.CaughtUp)
			closeIn(t, sub.Close)
		} else {
			first := subscribe(t, w, opts)
			awaitKind(t, w, first, stream.CaughtUp)
			closeIn(t, first.Close)
		}
		w.write(1, "new")
		w.write(2, "created while nobody listened")
		second := subscribe(t, w, opts)
		seen := map[string]bool{}
		for len(seen) < 2 {
			changes, err := second.Next(w.context())
			if err != nil {
				t.Fatal(err)
			}
			for i := range changes {
				if changes[i].Kind == stream.Batch {
					seen[short(&changes[i])] = true
				}
			}
		}
		if !seen["1.2"] || !seen["2.1"] {
			t.Errorf("first run without the gateway %v: seen %v", direct, seen)
		}
	}
}

func awaitKind(t *testing.T, w *world, sub stream.Consumer, kind stream.Kind) {
	t.Helper()
	for {
		changes, err := sub.Next(w.context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range changes {
			if changes[i].Kind == kind {
				return
			}
		}
	}
}
