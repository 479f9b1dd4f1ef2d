package gateway_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
)

func TestDeliveriesAndAcknowledgements(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	w.write(2, "c")
	r := w.mustOpen(clientHeld())
	all := r.changes(4, noPositions)
	var got []string
	for i, d := range all {
		got = append(got, d.describe())
		if d.number != uint64(i+1) {
			t.Errorf("delivery %d is change %d", d.number, i+1)
		}
	}
	slices.Sort(got[:3])
	if text := strings.Join(got, ", "); text != "1.1, 1.2, 2.1, caught up" {
		t.Errorf("changes %s", text)
	}
	r.handled(1, 2, 3, 4)
	w.write(1, "d")
	more := r.changes(1, noPositions)
	if more[0].describe() != "1.3" || more[0].number != 5 {
		t.Errorf("change %s as %d", more[0].describe(), more[0].number)
	}
	r.handled(5)
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); err != io.EOF {
		t.Errorf("end after half-close: %v", err)
	}
}

// Each change says where it begins, so that a client can compare and set.
func TestPreviousChainsTheChanges(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b", "c")
	r := w.mustOpen(clientHeld())
	var last []byte
	for _, d := range r.changes(4, noPositions)[:3] {
		if !slices.Equal(d.Previous, last) {
			t.Errorf("%s follows %x, want %x", d.describe(), d.Previous, last)
		}
		last = d.Cursor
	}
	again := w.mustOpen(clientHeld())
	w.write(1, "d")
	resumed := again.changes(1, map[msg.Key][]byte{keyOf(1): last})
	if resumed[0].GetCaughtUp() != nil {
		resumed = again.changes(1, map[msg.Key][]byte{keyOf(1): last})
	}
	if resumed[0].describe() != "1.4" || !slices.Equal(resumed[0].Previous, last) {
		t.Errorf("resumed with %s behind %x, want 1.4 behind %x", resumed[0].describe(), resumed[0].Previous, last)
	}
}

func TestOpenedEchoesTheOptions(t *testing.T) {
	w := newWorld(t, gateway.Options{Name: "gateway-7"})
	open := clientHeld()
	open.MaxOutstandingChanges = 7
	r := w.mustOpen(open)
	e := r.opened.Effective
	if e.GetStart() != pb.Start_START_FROM_BEGINNING || e.GetContinuation() != pb.Continuation_CONTINUATION_REPLAY ||
		e.MaxOutstandingChanges != 7 || e.MaxOutstandingBytes != 4<<20 || e.MaxMessageBytes != 1<<20 || e.MaxBatchBytes != 64<<20 {
		t.Errorf("effective options %v", e)
	}
	if !proto.Equal(e.Scope, open.Scope) || r.opened.Gateway != "gateway-7" || !slices.Contains(r.opened.Features, "client-held") {
		t.Errorf("opened %v", r.opened)
	}
}

func TestOpenIsChecked(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	unspecified, unknown, live := pb.Start_START_UNSPECIFIED, pb.Start(77), pb.Start_START_LIVE_ONLY
	tests := []struct {
		name   string
		change func(*pb.Open)
		code   codes.Code
		text   string
	}{
		{"no scope", func(o *pb.Open) { o.Scope = nil }, codes.InvalidArgument, "scope is missing"},
		{"an empty scope", func(o *pb.Open) { o.Scope = new(pb.Scope) }, codes.InvalidArgument, "follows nothing"},
		{"everything and more", func(o *pb.Open) { o.Scope.Everything = true }, codes.InvalidArgument, "everything and single"},
		{"a short id", func(o *pb.Open) { o.Scope.Types[0].Org = []byte{1} }, codes.InvalidArgument, "scope.types[0].org has 1 bytes"},
		{"too many members", func(o *pb.Open) { o.Scope.Orgs = make([][]byte, 1001) }, codes.InvalidArgument, "at most 1000"},
		{"no position", func(o *pb.Open) { o.Position = nil }, codes.InvalidArgument, "position is missing"},
		{"an unspecified start", func(o *pb.Open) { o.Start = &unspecified }, codes.InvalidArgument, "start is"},
		{"an unknown start", func(o *pb.Open) { o.Start = &unknown }, codes.InvalidArgument, "start is 77"},
		{"live only with a position", func(o *pb.Open) { o.Start = &live }, codes.InvalidArgument, "LIVE_ONLY"},
		{"small messages", func(o *pb.Open) { o.MaxMessageBytes = 10 }, codes.InvalidArgument, "max_message_bytes is 10"},
		{"an unknown feature", func(o *pb.Open) { o.RequiredFeatures = []string{"teleport"} }, codes.FailedPrecondition, "teleport"},
		{"an unknown field", func(o *pb.Open) { o.ProtoReflect().SetUnknown([]byte{0xf8, 0x3f, 1}) }, codes.FailedPrecondition, "older than the client"},
		{"an unknown field further in", func(o *pb.Open) { o.Scope.Types[0].ProtoReflect().SetUnknown([]byte{0xf8, 0x3f, 1}) }, codes.FailedPrecondition, "TypeOfOrg"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			open := clientHeld()
			test.change(open)
			err := w.subscribe(open).end()
			if status.Code(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v, want %v with %q", err, test.code, test.text)
			}
			detail(t, err)
		})
	}
}

// detail returns the ErrorDetail that every failure carries.
func detail(t *testing.T, err error) *pb.ErrorDetail {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if d, ok := d.(*pb.ErrorDetail); ok {
			if d.Outcome == pb.Outcome_OUTCOME_UNSPECIFIED || d.Reason == "" {
				t.Errorf("detail %v", d)
			}
			return d
		}
	}
	t.Fatalf("%v has no detail", err)
	return nil
}

func TestFalseMessagesEndTheirStreamOnly(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	bystander := w.mustOpen(clientHeld())
	bystander.changes(3, noPositions)
	tests := []struct {
		name string
		do   func(r *rawStream)
		text string
	}{
		{"an invented delivery", func(r *rawStream) { r.handled(99) }, "never made"},
		{"a repeated acknowledgement", func(r *rawStream) { r.handled(1); r.handled(1) }, "acknowledged before"},
		{"a later one of the aggregate alone", func(r *rawStream) { r.handled(2) }, "follows delivery 1"},
		{"a second open", func(r *rawStream) {
			r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: clientHeld()}})
		}, "second Open"},
		{"an empty message", func(r *rawStream) { r.send(new(pb.SubscribeRequest)) }, "unknown kind"},
		{"an answer to no look-up", func(r *rawStream) {
			r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Cursors{Cursors: &pb.Cursors{LookUp: 5}}})
		}, "look_up 5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := w.mustOpen(clientHeld())
			r.changes(3, noPositions)
			test.do(r)
			if err := r.end(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v, want INVALID_ARGUMENT with %q", err, test.text)
			}
		})
	}
	w.write(1, "c")
	if d := bystander.changes(1, noPositions); d[0].describe() != "1.3" {
		t.Errorf("the bystander got %s", d[0].describe())
	}
}

func TestAnswersMustMatchTheLookUp(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a")
	huge := make([]byte, 58)
	huge[0], huge[1] = 1, 0x80 // life 2^63
	tests := []struct {
		name    string
		cursors [][]byte
		text    string
	}{
		{"too many", [][]byte{nil, nil}, "asked for 1 cursors: 2 came"},
		{"none", nil, "asked for 1 cursors: 0 came"},
		{"damaged", [][]byte{{1, 2, 3}}, "cursors[0]"},
		{"of another format", [][]byte{{9}}, "cursors[0]"},
		{"beyond all numbers", [][]byte{huge}, "cursors[0]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := w.mustOpen(clientHeld())
			l := r.next(nil, func(m *pb.SubscribeResponse) bool { return m.GetLookUp() != nil }).GetLookUp()
			r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Cursors{Cursors: &pb.Cursors{LookUp: l.Id, Cursors: test.cursors}}})
			if err := r.end(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v, want INVALID_ARGUMENT with %q", err, test.text)
			}
		})
	}
}

// A forged cursor of the right form voids nothing: the batch there has another
// anchor, so that the aggregate is announced as reset and begins anew.
func TestAForgedCursorIsVerified(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	r := w.mustOpen(clientHeld())
	forged := r.changes(3, noPositions)[0].Cursor
	forged[len(forged)-1]++ // of its anchor
	again := w.mustOpen(clientHeld())
	all := again.changes(4, map[msg.Key][]byte{keyOf(1): forged})
	if all[0].GetReset_() == nil || all[1].describe() != "1.1" || all[2].describe() != "1.2" {
		t.Errorf("changes %v", all)
	}
}
