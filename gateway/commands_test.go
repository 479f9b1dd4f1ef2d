package gateway_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
)

func writeRequest(n uint64) *pb.WriteRequest {
	return &pb.WriteRequest{
		Key: convert.KeyMessage(keyOf(n)), Events: []*pb.NewEvent{{ClientSeq: 1, Major: 1, Value: []byte("x")}},
		Guard: &pb.WriteRequest_Unconditional{Unconditional: true},
	}
}

func expect(version uint64) *pb.WriteRequest_ExpectedVersion {
	return &pb.WriteRequest_ExpectedVersion{ExpectedVersion: version}
}

func TestWritesAndTheirErrors(t *testing.T) {
	w := newWorld(t, gateway.Options{Writes: true})
	commands := pb.NewCommandServiceClient(w.connect())
	enforce := &pb.WriteRequest_EnforceSequence{EnforceSequence: true}
	tests := []struct {
		name   string
		change func(*pb.WriteRequest)
		code   codes.Code
		reason string
	}{
		{"a new aggregate", func(r *pb.WriteRequest) { r.Guard = expect(0) }, codes.OK, ""},
		{"at the version", func(r *pb.WriteRequest) { r.Guard = expect(1) }, codes.OK, ""},
		{"at another version", func(r *pb.WriteRequest) { r.Guard = expect(1) }, codes.Aborted, "VERSION_CONFLICT"},
		{"the first of a sequence", func(r *pb.WriteRequest) { r.Guard = enforce; r.Events[0].ClientSeq = 5 }, codes.OK, ""},
		{"the same of a sequence", func(r *pb.WriteRequest) { r.Guard = enforce; r.Events[0].ClientSeq = 5 }, codes.AlreadyExists, "DUPLICATE"},
		{"no guard", func(r *pb.WriteRequest) { r.Guard = nil }, codes.InvalidArgument, "INVALID"},
		{"a guard that is false", func(r *pb.WriteRequest) { r.Guard = &pb.WriteRequest_Unconditional{} }, codes.InvalidArgument, "INVALID"},
		{"no events", func(r *pb.WriteRequest) { r.Events = nil }, codes.InvalidArgument, "INVALID"},
		{"no type", func(r *pb.WriteRequest) { r.Events[0].Major = 0 }, codes.InvalidArgument, "INVALID"},
		{"no sequence although enforced", func(r *pb.WriteRequest) { r.Guard = enforce; r.Events[0].ClientSeq = 0 }, codes.InvalidArgument, "INVALID"},
		{"a short id", func(r *pb.WriteRequest) { r.Events[0].EventId = []byte{1} }, codes.InvalidArgument, "INVALID"},
		{"no key", func(r *pb.WriteRequest) { r.Key = nil }, codes.InvalidArgument, "INVALID"},
		{"an unseen aggregate", func(r *pb.WriteRequest) { r.Key = convert.KeyMessage(keyOf(2)); r.DenyCreate = true }, codes.NotFound, "NOT_FOUND"},
	}
	for _, test := range tests {
		req := writeRequest(1)
		test.change(req)
		_, err := commands.Write(w.context(), req)
		if status.Code(err) != test.code {
			t.Errorf("%s: %v, want %v", test.name, err, test.code)
			continue
		}
		if err == nil {
			continue
		}
		d := detail(t, err)
		if d.Reason != test.reason || d.Outcome != pb.Outcome_OUTCOME_NOT_APPLIED {
			t.Errorf("%s: detail %v", test.name, d)
		}
		if test.reason == "VERSION_CONFLICT" && d.GetCurrentVersion() != 2 {
			t.Errorf("%s: the current version is not told: %v", test.name, d)
		}
	}
}

// A write whose answer is lost may have been applied. Proxies send again what is
// UNAVAILABLE, so it must be nothing they send again.
func TestAnAmbiguousWriteIsUnknown(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	w := newWorldOn(t, node, gateway.Options{Writes: true})
	node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		if _, answered := f.Response.(*msg.WriteResponse); answered {
			return celerianttest.CutBefore()
		}
		return celerianttest.Pass()
	})
	_, err := pb.NewCommandServiceClient(w.connect()).Write(w.context(), writeRequest(1))
	if status.Code(err) != codes.Unknown {
		t.Errorf("error %v, want UNKNOWN", err)
	}
	if d := detail(t, err); d.Outcome != pb.Outcome_OUTCOME_MAY_BE_APPLIED || d.SafeToRetry {
		t.Errorf("detail %v", d)
	}
	node.Intercept(nil)
	if d, err := w.store.Pool().Details(w.context(), keyOf(1)); err != nil || d.MaxVersion != 1 {
		t.Errorf("the write was applied: %v, %v", d, err)
	}
}

// Callers write under ids of their own: nobody can make another's writes look
// stored already.
func TestWriterIdentity(t *testing.T) {
	granted := msg.IDFromUint64(77)
	auth := newAuthFile(t, map[string]string{
		"a": `"read":["*"],"write":["*"],"client_ids":["` + granted.String() + `"]`, "b": `"write":["*"]`, "proxy": `"write":["*"],"act_for_others":true`,
	})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, Writes: true})
	commands := pb.NewCommandServiceClient(w.connect())
	write := func(caller string, writer *pb.Writer) (client msg.ID, user msg.Opt[msg.ID], code codes.Code) {
		req := writeRequest(1)
		req.Writer = writer
		r, err := commands.Write(auth.as(w.context(), caller), req)
		if err != nil {
			return client, user, status.Code(err)
		}
		page, err := w.store.Pool().Read(w.context(), &msg.ReadRequest{Key: keyOf(1), Filters: msg.ReadFilters{From: r.Version}})
		if err != nil {
			t.Fatal(err)
		}
		return page.Batches[0].ClientID, page.Batches[0].UserID, codes.OK
	}
	named := &pb.Writer{Client: &pb.Writer_Name{Name: "worker"}}
	idOfA, userOfA, _ := write("a", named)
	if idOfA != access.DerivedID("a", "worker") || userOfA != msg.Some(access.DerivedID("a", "user")) {
		t.Errorf("a writes under %v for %v", idOfA, userOfA)
	}
	if idOfB, _, _ := write("b", named); idOfB == idOfA {
		t.Error("two callers share a client id")
	}
	byID := func(id msg.ID) *pb.Writer { return &pb.Writer{Client: &pb.Writer_ClientId{ClientId: id[:]}} }
	if id, _, code := write("a", byID(granted)); code != codes.OK || id != granted {
		t.Errorf("a under the granted id: %v, %v", id, code)
	}
	for _, forged := range []msg.ID{granted, idOfA, {}} {
		if _, _, code := write("b", byID(forged)); code != codes.PermissionDenied {
			t.Errorf("b under %v: %v", forged, code)
		}
	}
	other := msg.IDFromUint64(5)
	if _, _, code := write("a", &pb.Writer{UserId: other[:]}); code != codes.PermissionDenied {
		t.Errorf("a for another user: %v", code)
	}
	if _, user, code := write("proxy", &pb.Writer{UserId: other[:]}); code != codes.OK || user != msg.Some(other) {
		t.Errorf("the proxy for another user: %v, %v", user, code)
	}
}

// With an RSA identity of the gateway all callers write under one id: sequences of
// theirs would collide and are refused.
func TestASharedClientIDRefusesSequences(t *testing.T) {
	shared := msg.IDFromUint64(42)
	w := newWorld(t, gateway.Options{Writes: true, ProvenClientID: msg.Some(shared)})
	commands := pb.NewCommandServiceClient(w.connect())
	req := writeRequest(1)
	req.Guard = &pb.WriteRequest_EnforceSequence{EnforceSequence: true}
	if _, err := commands.Write(w.context(), req); status.Code(err) != codes.FailedPrecondition || detail(t, err).Reason != "SHARED_CLIENT_ID" {
		t.Errorf("an enforced sequence: %v", err)
	}
	if _, err := commands.Write(w.context(), writeRequest(1)); err != nil {
		t.Fatal(err)
	}
	page, err := w.store.Pool().Read(w.context(), &msg.ReadRequest{Key: keyOf(1)})
	if err != nil || page.Batches[0].ClientID != shared {
		t.Errorf("written under %v, %v", page.Batches[0].ClientID, err)
	}
}

func TestReadsAndTheirErrors(t *testing.T) {
	w := newWorld(t, gateway.Options{Writes: true})
	w.write(1, "a", "b", "c")
	conn := w.connect()
	events, commands := pb.NewEventServiceClient(conn), pb.NewCommandServiceClient(conn)
	key := convert.KeyMessage(keyOf(1))
	page, err := events.Read(w.context(), &pb.ReadRequest{Key: key, From: 2})
	if err != nil || len(page.Batches) != 2 || string(page.Batches[0].Events[0].Value) != "b" {
		t.Errorf("page %v, %v", page, err)
	}
	all, err := events.ReadAll(w.context(), &pb.ReadAllRequest{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var versions []uint64
	for {
		part, err := all.Recv()
		if err != nil {
			if unlessEOF(err) != nil {
				t.Error(err)
			}
			break
		}
		for _, b := range part.Batches {
			versions = append(versions, b.Version)
		}
	}
	if !slices.Equal(versions, []uint64{1, 2, 3}) {
		t.Errorf("versions %v", versions)
	}
	if _, err := commands.TrimStart(w.context(), &pb.TrimStartRequest{Key: key, KeepFrom: 3}); err != nil {
		t.Fatal(err)
	}
	_, err = events.Read(w.context(), &pb.ReadRequest{Key: key})
	if status.Code(err) != codes.OutOfRange || detail(t, err).GetMinimumAvailable() != 3 {
		t.Errorf("a read below the floor: %v", err)
	}
	d, err := events.GetDetails(w.context(), &pb.GetDetailsRequest{Key: key})
	if err != nil || d.MinVersion != 3 || d.MaxVersion != 3 {
		t.Errorf("details %v, %v", d, err)
	}
	if _, err := events.Read(w.context(), &pb.ReadRequest{Key: convert.KeyMessage(keyOf(9))}); status.Code(err) != codes.NotFound {
		t.Errorf("a read of nothing: %v", err)
	}
	if _, err := commands.Delete(w.context(), &pb.DeleteRequest{Key: key}); err != nil {
		t.Fatal(err)
	}
	if _, err := commands.Write(w.context(), writeRequest(1)); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a write behind a final delete: %v", err)
	}
}

// asksNoNode reports whether a call is answered from the checkpoint store.
func asksNoNode(call string) bool {
	return slices.ContainsFunc([]string{"GetSubscription", "ListParked", "ReleaseParked", "SkipParked", "Await"}, func(of string) bool {
		return strings.HasPrefix(call, of)
	})
}

// No node's address crosses the gateway, in whatever way a node is lost.
func TestErrorsNameNoNode(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	w := newWorldOn(t, node, gateway.Options{Writes: true})
	w.write(1, "a")
	r := w.mustOpen(clientHeld())
	r.changes(2, noPositions)
	node.Kill()
	host := node.Addr()
	conn := w.connect()
	for name, do := range calls(conn) {
		if name == "Subscribe" || asksNoNode(name) {
			continue
		}
		err := do(context.Background(), keyOf(1))
		if err == nil || strings.Contains(err.Error(), host) || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", name, err)
		}
		if d := detail(t, err); d.Outcome == pb.Outcome_OUTCOME_NOT_APPLIED && status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v, want UNAVAILABLE", name, err)
		}
	}
	m := r.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetState().GetPhase() == pb.Phase_PHASE_RECONNECTING })
	if cause := m.GetState().Cause; cause == "" || strings.Contains(cause, "127.0.0.1") {
		t.Errorf("the state's cause is %q", cause)
	}
}
