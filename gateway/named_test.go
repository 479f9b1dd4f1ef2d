package gateway_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/stream"
)

func named(name, member string) *pb.Open {
	return &pb.Open{Scope: ofType(), Position: &pb.Open_Named{Named: &pb.Named{Name: name, MemberId: member, Partitions: 4}}}
}

// tallies count how often each batch was handled, over all members.
type tallies struct {
	mu   sync.Mutex
	seen map[string]int
	by   map[string]map[string]bool // the members that handled something
}

func (c *tallies) note(member string, d delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[d.describe()]++
	if c.by[member] == nil {
		c.by[member] = map[string]bool{}
	}
	c.by[member][d.describe()] = true
}

func (c *tallies) count() (distinct, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.seen {
		total += n
	}
	return len(c.seen), total
}

// consume handles and acknowledges what a member is given until ctx ends.
func consume(ctx context.Context, t *testing.T, address, member string, into *tallies, opts ...grpc.DialOption) {
	w := &world{t: t, address: address}
	r := w.mustOpen(named("orders", member), opts...)
	stop := context.AfterFunc(ctx, r.cancel)
	defer stop()
	for {
		m, err := r.stream.Recv()
		if err != nil {
			return
		}
		c := m.GetChanges()
		if c == nil {
			continue
		}
		for i, change := range c.Changes {
			if d := (delivery{c.FirstDelivery + uint64(i), change}); change.GetBatch() != nil {
				into.note(member, d)
			}
		}
		last := c.FirstDelivery + uint64(len(c.Changes)) - 1
		if r.stream.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{
			Deliveries: []*pb.Range{{First: c.FirstDelivery, Last: last}},
		}}}) != nil {
			return
		}
	}
}

// Members of one name share its partitions over two gateways; when one dies, its
// share goes to the others, and nothing that was stored comes again.
//
//covers:g20
func TestMembersShareANameOverTwoGateways(t *testing.T) {
	store := newStore(t)
	w := newWorld(t, gateway.Options{Checkpoints: store})
	other, second := serve(t, w.store, gateway.Options{Checkpoints: store})
	const aggregates = 20
	write := func() {
		for n := range uint64(aggregates) {
			w.write(n+1, "x")
		}
	}
	all := &tallies{seen: map[string]int{}, by: map[string]map[string]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var members sync.WaitGroup
	defer members.Wait()
	defer stop()
	write()
	for member, address := range map[string]string{"a": w.address, "b": second} {
		members.Go(func() { consume(ctx, t, address, member, all) })
	}
	rounds := 1
	waitFor(t, func() bool {
		if distinct, _ := all.count(); distinct == rounds*aggregates {
			all.mu.Lock()
			defer all.mu.Unlock()
			if len(all.by["a"]) > 0 && len(all.by["b"]) > 0 {
				return true
			}
			all.mu.Unlock()
			write() // until both have a share
			rounds++
			all.mu.Lock()
		}
		return false
	}, func() string { return fmt.Sprintf("handled %v", all.by) })
	// The second gateway ends: its member's share goes to the other one.
	down, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := other.Shutdown(down); err != nil {
		t.Error(err)
	}
	write()
	rounds++
	waitFor(t, func() bool { distinct, _ := all.count(); return distinct == rounds*aggregates }, func() string {
		return fmt.Sprintf("after the end of a gateway: %v", all.seen)
	})
}

// Acknowledged positions are stored, the client is told, and the next stream goes on behind them.
func TestANamedPositionIsStored(t *testing.T) {
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	w.write(1, "a", "b")
	r := w.mustOpen(named("orders", "m"))
	var deliveries []delivery
	for len(deliveries) < 2 {
		for _, d := range r.changes(1, nil) {
			if d.GetBatch() != nil {
				deliveries = append(deliveries, d)
			}
		}
	}
	r.handled(deliveries[0].number)
	stored := r.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetStored() != nil }).GetStored()
	if stored.Deliveries[0].First != deliveries[0].number {
		t.Errorf("stored %v", stored)
	}
	// The last acknowledgement counts, too, although the client says nothing more.
	r.handled(deliveries[1].number)
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
	w.write(1, "c")
	again := w.mustOpen(named("orders", "m"))
	for {
		d := again.changes(1, nil)[0]
		if d.GetBatch() == nil {
			continue
		}
		if d.describe() != "1.3" {
			t.Errorf("the next stream begins with %s", d.describe())
		}
		return
	}
}

// A delivery that failed comes again after its pause, with all that followed of its
// aggregate, and others go on meanwhile.
func TestRetryBringsADeliveryAgain(t *testing.T) {
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	w.write(1, "a", "b")
	r := w.mustOpen(named("orders", "m"))
	var waiting []delivery
	batch := func() delivery {
		for {
			if len(waiting) == 0 {
				waiting = r.changes(1, nil)
			}
			d := waiting[0]
			if waiting = waiting[1:]; d.GetBatch() != nil {
				return d
			}
		}
	}
	first := batch()
	r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Failed{Failed: &pb.Failed{
		Delivery: first.number, Verdict: pb.Verdict_VERDICT_RETRY, RetryAfter: durationpb.New(50 * time.Millisecond),
	}}})
	for again := batch(); ; again = batch() { // 1.2 may have been under way
		if again.describe() == "1.1" {
			if again.number == first.number {
				t.Error("the repetition has the old number")
			}
			r.handled(again.number)
			break
		}
	}
	if d := batch(); d.describe() != "1.2" {
		t.Errorf("behind the repetition comes %s", d.describe())
	}
}

func TestNamesNeedRights(t *testing.T) {
	auth := newAuthFile(t, map[string]string{
		"member": `"read":["*"],"consume":["orders"]`, "reader": `"read":["*"]`, "narrow": `"consume":["orders"]`,
	})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, Checkpoints: newStore(t)})
	open := func(caller string, o *pb.Open) error {
		r := w.subscribe(o, grpc.WithPerRPCCredentials(rawToken(auth.keys[caller])))
		defer r.cancel()
		_, err := r.stream.Recv()
		return err
	}
	if err := open("member", named("orders", "m")); err != nil {
		t.Errorf("the member: %v", err)
	}
	adopt := named("orders", "m")
	adopt.GetNamed().AdoptScope = true
	for what, err := range map[string]error{
		"without the right to consume": open("reader", named("orders", "m")), "without the right to read": open("narrow", named("orders", "m")),
		"another name": open("member", named("billing", "m")), "adopting": open("member", adopt),
	} {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNamesAreChecked(t *testing.T) {
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	if err := newWorld(t, gateway.Options{}).subscribe(named("orders", "m")).end(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("without a store: %v", err)
	}
	for name, change := range map[string]func(*pb.Open){
		"no name":         func(o *pb.Open) { o.GetNamed().Name = "" },
		"a long name":     func(o *pb.Open) { o.GetNamed().Name = string(make([]byte, 300)) },
		"short progress":  func(o *pb.Open) { o.GetNamed().ProgressTimeout = durationpb.New(time.Second) },
		"many partitions": func(o *pb.Open) { o.GetNamed().Partitions = 5000 },
		"live only":       func(o *pb.Open) { live := pb.Start_START_LIVE_ONLY; o.Start = &live },
	} {
		o := named("orders", "m")
		change(o)
		if err := w.subscribe(o).end(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := w.mustOpen(named("orders", "m"))
	r.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetAssigned() != nil })
	o := named("orders", "n")
	o.Scope = convert.ScopeMessage(stream.Orgs(org))
	if err := w.subscribe(o).end(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("another scope: %v", err)
	}
}
