package gateway_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
)

// member is a member of a name that handles what it is given, but for what the test
// takes from it.
type member struct {
	*rawStream
	waiting []delivery
}

func (w *world) member(name string, opts ...grpc.DialOption) *member {
	w.t.Helper()
	return &member{rawStream: w.mustOpen(named("orders", name), opts...)}
}

// batch returns the next batch that the member is given.
func (m *member) batch() delivery {
	m.t.Helper()
	for {
		if len(m.waiting) == 0 {
			m.waiting = m.changes(1, nil)
		}
		d := m.waiting[0]
		if m.waiting = m.waiting[1:]; d.GetBatch() != nil {
			return d
		}
	}
}

// handle acknowledges batches until one of them is what is described, and stored.
func (m *member) handle(until string) {
	m.t.Helper()
	for {
		d := m.batch()
		m.handled(d.number)
		if d.describe() == until {
			m.stored(d.number)
			return
		}
	}
}

func (m *member) judge(d delivery, v pb.Verdict) {
	m.t.Helper()
	m.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Failed{Failed: &pb.Failed{
		Delivery: d.number, Verdict: v, Reason: "cannot\nbe handled", RetryAfter: durationpb.New(0),
	}}})
}

// stored waits until a delivery is confirmed, and drops what is delivered meanwhile.
func (m *member) stored(number uint64) {
	m.t.Helper()
	m.next(nil, func(r *pb.SubscribeResponse) bool {
		for _, rng := range r.GetStored().GetDeliveries() {
			if rng.First <= number && number <= rng.Last {
				return true
			}
		}
		return false
	})
	m.waiting = nil
}

// park has a member park the first batch of aggregate 1.
func (w *world) park(m *member) {
	w.t.Helper()
	d := m.batch()
	if d.describe() != "1.1" {
		w.t.Fatalf("first comes %s", d.describe())
	}
	m.judge(d, pb.Verdict_VERDICT_PARK)
	m.stored(d.number)
}

func (w *world) names() pb.SubscriptionServiceClient {
	w.t.Helper()
	return pb.NewSubscriptionServiceClient(w.connect())
}

func (w *world) parked() []*pb.Parked {
	w.t.Helper()
	r, err := w.names().ListParked(w.context(), &pb.ListParkedRequest{Name: "orders"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Parked
}

// A parked aggregate rests, also with the next member, until it is released; then it
// goes on where it stopped. Others go on meanwhile.
func TestParkAndRelease(t *testing.T) {
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	w.write(1, "a", "b")
	first := w.member("m")
	w.park(first)
	w.write(2, "x")
	first.handle("2.1")
	if all := w.parked(); len(all) != 1 || all[0].Version != 1 || all[0].Attempts != 1 || all[0].Reason != "cannot be handled" {
		t.Errorf("parked %v", all)
	}
	first.cancel()
	second := w.member("m")
	w.write(1, "c")
	w.write(2, "y")
	if d := second.batch(); d.describe() != "2.2" {
		t.Fatalf("with the next member comes %s", d.describe())
	}
	if _, err := w.names().ReleaseParked(w.context(), &pb.ReleaseParkedRequest{Name: "orders", Key: convert.KeyMessage(keyOf(1))}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1.1", "1.2", "1.3"} {
		d := second.batch()
		if d.describe() != want {
			t.Errorf("after the release comes %s, want %s", d.describe(), want)
		}
		second.handled(d.number)
	}
	if all := w.parked(); len(all) != 0 {
		t.Errorf("still parked: %v", all)
	}
}

// A skipped version of a parked aggregate is passed over, which the store records; the
// versions behind it are delivered.
func TestSkipOfAParkedAggregate(t *testing.T) {
	store := newStore(t)
	w := newWorld(t, gateway.Options{Checkpoints: store})
	w.write(1, "a", "b")
	m := w.member("m")
	w.park(m)
	skip := func(version uint64) error {
		_, err := w.names().SkipParked(w.context(), &pb.SkipParkedRequest{Name: "orders", Key: convert.KeyMessage(keyOf(1)), Version: version})
		return err
	}
	if err := skip(2); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("another version: %v", err)
	}
	if err := skip(1); err != nil {
		t.Fatal(err)
	}
	d := m.batch()
	if d.describe() != "1.2" {
		t.Errorf("behind the skip comes %s", d.describe())
	}
	m.handled(d.number)
	m.stored(d.number)
	passed, ok, err := checkpoint.LoadPassed(w.context(), store, "anonymous/orders", keyOf(1))
	if err != nil || !ok || passed.From != 1 || passed.To != 1 || passed.Why != "skipped" {
		t.Errorf("passed over: %v, %v, %v", passed, ok, err)
	}
	if all := w.parked(); len(all) != 0 {
		t.Errorf("still parked: %v", all)
	}
}

// A change that a verdict skips is stored as passed over, and what follows it of its
// aggregate comes again.
func TestVerdictSkip(t *testing.T) {
	store := newStore(t)
	auth := newAuthFile(t, map[string]string{"operator": `"read":["*"],"consume":["*"],"operate":["*"]`, "member": `"read":["*"],"consume":["*"]`})
	w := newWorld(t, gateway.Options{Checkpoints: store, Authenticator: auth, Authorizer: auth})
	w.write(1, "a", "b", "c")
	m := w.member("m", grpc.WithPerRPCCredentials(rawToken(auth.keys["operator"])))
	d := m.batch()
	m.handled(d.number)
	d = m.batch()
	m.judge(d, pb.Verdict_VERDICT_SKIP)
	m.stored(d.number)
	for {
		d = m.batch()
		if d.describe() == "1.3" {
			break
		}
		t.Errorf("behind the skip comes %s", d.describe())
	}
	passed, ok, err := checkpoint.LoadPassed(w.context(), store, "operator/orders", keyOf(1))
	if err != nil || !ok || passed.From != 2 || passed.To != 2 {
		t.Errorf("passed over: %v, %v, %v", passed, ok, err)
	}
	cursors, err := store.Load(w.context(), "operator/orders", []msg.Key{keyOf(1)})
	if err != nil || cursors[0].Version != 2 {
		t.Errorf("stored %v, %v", cursors, err)
	}
	// A verdict SKIP needs the right to operate.
	denied := w.member("m", grpc.WithPerRPCCredentials(rawToken(auth.keys["member"])))
	denied.judge(denied.batch(), pb.Verdict_VERDICT_SKIP)
	if err := denied.end(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("without the right: %v", err)
	}
}

// A verdict that was given is carried out although the client says nothing more.
func TestTheLastVerdictCounts(t *testing.T) {
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	const aggregates = 50
	for n := range uint64(aggregates) {
		w.write(n+1, "a")
	}
	m := w.member("m")
	var all []delivery
	for range aggregates {
		all = append(all, m.batch())
	}
	for _, d := range all {
		m.judge(d, pb.Verdict_VERDICT_PARK)
	}
	if err := m.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := m.end(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
	if all := w.parked(); len(all) != aggregates {
		t.Errorf("parked %d aggregates, want %d", len(all), aggregates)
	}
}

// A stop ends the stream, and nobody continues its partition before it is resumed.
func TestVerdictStop(t *testing.T) {
	store := newStore(t)
	w := newWorld(t, gateway.Options{Checkpoints: store})
	w.write(1, "a")
	m := w.member("m")
	d := m.batch()
	m.judge(d, pb.Verdict_VERDICT_STOP)
	if err := m.end(); status.Code(err) != codes.Aborted || detail(t, err).Reason != "STOPPED" {
		t.Fatalf("the stream ended with %v", err)
	}
	get := func() *pb.GetSubscriptionResponse {
		r, err := w.names().GetSubscription(w.context(), &pb.GetSubscriptionRequest{Name: "orders"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := get()
	if r.Partitions != 4 || len(r.Stopped) != 1 || r.Stopped[0].Partition != d.Partition || r.Stopped[0].Version != 1 || r.Stopped[0].Reason != "cannot be handled" {
		t.Errorf("the subscription is %v", r)
	}
	again := w.member("m")
	for range 3 {
		if p := again.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetAssigned() != nil }).GetAssigned(); p.Partition == d.Partition {
			t.Error("the stopped partition was assigned")
		}
	}
	r = get()
	if len(r.Members) != 1 || r.Members[0].Member != "anonymous/m" || len(r.Members[0].Partitions) != 3 || len(r.Unowned) != 0 {
		t.Errorf("the subscription is %v", r)
	}
}

// The attempts at a change are counted, and told with it.
func TestAttemptsAreCounted(t *testing.T) {
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	w.write(1, "a")
	m := w.member("m")
	for n := range uint32(3) {
		d := m.batch()
		if d.Attempt != n {
			t.Errorf("attempt %d, want %d", d.Attempt, n)
		}
		m.judge(d, pb.Verdict_VERDICT_RETRY)
	}
	d := m.batch()
	m.judge(d, pb.Verdict_VERDICT_PARK)
	m.stored(d.number)
	if all := w.parked(); len(all) != 1 || all[0].Attempts != 4 {
		t.Errorf("parked %v", all)
	}
}

func TestVerdictsAreChecked(t *testing.T) {
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	w.write(1, "a", "b")
	for name, judge := range map[string]func(m *member){
		"unspecified": func(m *member) { m.judge(m.batch(), pb.Verdict_VERDICT_UNSPECIFIED) },
		"unknown":     func(m *member) { m.judge(m.batch(), pb.Verdict(9)) },
		"never made":  func(m *member) { d := m.batch(); d.number += 100; m.judge(d, pb.Verdict_VERDICT_PARK) },
		"behind another one": func(m *member) {
			m.batch()
			m.judge(m.batch(), pb.Verdict_VERDICT_PARK)
		},
	} {
		m := w.member("m")
		judge(m)
		if err := m.end(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := w.mustOpen(clientHeld())
	r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Failed{Failed: &pb.Failed{Delivery: 1, Verdict: pb.Verdict_VERDICT_PARK}}})
	if err := r.end(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a name: %v", err)
	}
}

// Await returns once what it names is handled and stored, and tells why if it is not.
func TestAwait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Options{Checkpoints: newStore(t)})
	w.write(1, "a", "b")
	m := w.member("m")
	await := func(deadline time.Duration, versions ...uint64) error {
		ctx := w.context()
		req := &pb.AwaitRequest{Name: "orders"}
		for _, v := range versions {
			req.Versions = append(req.Versions, &pb.AwaitRequest_Version{Key: convert.KeyMessage(keyOf(1)), Version: v})
		}
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		_, err := w.names().Await(ctx, req)
		return err
	}
	first := m.batch()
	done := make(chan error, 1)
	go func() { done <- await(patience, 1) }()
	m.handled(first.number)
	if err := <-done; err != nil {
		t.Errorf("what is handled: %v", err)
	}
	if err := await(2*time.Second, 1, 2); status.Code(err) != codes.DeadlineExceeded || detail(t, err).Reason != "BEHIND" {
		t.Errorf("what is not handled: %v", err)
	}
	second := m.batch()
	m.judge(second, pb.Verdict_VERDICT_PARK)
	m.stored(second.number)
	if err := await(2*time.Second, 2); status.Code(err) != codes.DeadlineExceeded || detail(t, err).Reason != "PARKED" {
		t.Errorf("what is parked: %v", err)
	}
	if _, err := w.names().SkipParked(w.context(), &pb.SkipParkedRequest{Name: "orders", Key: convert.KeyMessage(keyOf(1)), Version: 2}); err != nil {
		t.Fatal(err)
	}
	if err := await(patience, 2); status.Code(err) != codes.FailedPrecondition || detail(t, err).Reason != "NOT_HANDLED" {
		t.Errorf("what is passed over: %v", err)
	}
	if _, err := w.names().Await(w.context(), &pb.AwaitRequest{Name: "orders", Versions: make([]*pb.AwaitRequest_Version, 513)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("too many: %v", err)
	}
}

// The pages of the list have each aggregate once, and none that the caller may not read.
func TestListParkedInPages(t *testing.T) {
	auth := newAuthFile(t, map[string]string{"all": `"read":["*"],"consume":["*"]`, "some": `"read":["` + org.String() + `"],"consume":["*"]`})
	store := newStore(t)
	w := newWorld(t, gateway.Options{Checkpoints: store, Authenticator: auth, Authorizer: auth})
	for _, tenant := range []string{"all", "some"} {
		name := tenant + "/orders"
		owner, err := store.Acquire(w.context(), checkpoint.Claim{Name: name, Scope: "everything"})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []msg.Key{keyOf(3), keyOf(1), foreignKey, keyOf(2)} {
			m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}}
			m.Park(checkpoint.Parked{Key: key, Version: 1, Attempts: 1, Error: "x"}, 0)
			if err := store.Apply(w.context(), name, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for caller, want := range map[string]string{"all": "[1 2 3 1]", "some": "[1 2 3]"} {
		var got []byte
		for token := ""; ; {
			page, err := w.names().ListParked(auth.as(w.context(), caller), &pb.ListParkedRequest{Name: "orders", PageSize: 2, PageToken: token})
			if err != nil || len(page.Parked) > 2 {
				t.Fatal(page, err)
			}
			for _, p := range page.Parked {
				got = append(got, p.Key.Aggregate[15])
			}
			if token = page.NextPageToken; token == "" {
				break
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s is shown %v, want %s", caller, got, want)
		}
	}
}
