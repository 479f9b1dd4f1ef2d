package gateway_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/client"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/stream"
)

// later is a field that no release has yet, with something in it.
var later = protowire.AppendBytes(protowire.AppendTag(nil, 15_000, protowire.BytesType), []byte{8, 1})

// newer gives a message the field of a later release.
func newer[M proto.Message](m M) M {
	m.ProtoReflect().SetUnknown(later)
	return m
}

// A gateway refuses every request with a field that it does not know, of each call
// of the interface, before it does anything for it.
func TestAnOlderGatewayRefusesWhatItDoesNotKnow(t *testing.T) {
	w := newWorld(t, gateway.Options{Writes: true, Checkpoints: newStore(t)})
	conn := w.connect()
	for _, method := range methods() {
		path := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
		request, answer := newer(dynamicpb.NewMessage(method.Input())), dynamicpb.NewMessage(method.Output())
		s, err := conn.NewStream(w.context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, path)
		if err != nil {
			t.Fatal(err)
		}
		// A stream that was refused already answers io.EOF here, and RecvMsg says why.
		_ = s.SendMsg(request)
		_ = s.CloseSend()
		err = s.RecvMsg(answer)
		if status.Code(err) != codes.FailedPrecondition || detail(t, err).Reason != "UNKNOWN_FIELD" || !strings.Contains(err.Error(), string(method.Input().Name())) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The same holds for each message that follows on an open stream.
func TestAnOlderGatewayRefusesLaterMessages(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a")
	for name, m := range map[string]*pb.SubscribeRequest{
		"a message of a later kind": newer(new(pb.SubscribeRequest)),
		"a field of Handled":        {Message: &pb.SubscribeRequest_Handled{Handled: newer(&pb.Handled{Deliveries: []*pb.Range{{First: 1, Last: 1}}})}},
		"a field of Leave":          {Message: &pb.SubscribeRequest_Leave{Leave: newer(new(pb.Leave))}},
		"a field of a key of Hold":  {Message: &pb.SubscribeRequest_Hold{Hold: &pb.Hold{Id: 1, Keys: []*pb.Key{newer(convert.KeyMessage(keyOf(1)))}}}},
	} {
		r := w.mustOpen(clientHeld())
		r.changes(1, noPositions)
		r.send(m)
		if err := r.end(); status.Code(err) != codes.FailedPrecondition || detail(t, err).Reason != "UNKNOWN_FIELD" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// scripted is a gateway that answers Open with what a test says, and hands over what
// the client sends after it.
type scripted struct {
	pb.UnimplementedSubscriptionServiceServer
	messages []*pb.SubscribeResponse
	opened   func(*pb.Opened)
	sent     chan *pb.SubscribeRequest
}

func (s *scripted) Subscribe(on grpc.BidiStreamingServer[pb.SubscribeRequest, pb.SubscribeResponse]) error {
	request, err := on.Recv()
	if err != nil {
		return err
	}
	effective := proto.CloneOf(request.GetOpen())
	opened := &pb.Opened{StreamId: "1", Effective: effective}
	s.opened(opened)
	messages := append([]*pb.SubscribeResponse{{Message: &pb.SubscribeResponse_Opened{Opened: opened}}}, s.messages...)
	for _, m := range messages {
		if err := on.Send(m); err != nil {
			return err
		}
	}
	for {
		if request, err = on.Recv(); err != nil {
			return err
		}
		s.sent <- request
	}
}

// through subscribes at a gateway that says what the test wants.
func through(t *testing.T, opened func(*pb.Opened), messages ...*pb.SubscribeResponse) (*client.Subscription, *scripted) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{messages: messages, opened: opened, sent: make(chan *pb.SubscribeRequest, 100)}
	server := grpc.NewServer()
	pb.RegisterSubscriptionServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, address: listener.Addr().String()}
	return subscribe(t, w, client.WatchOptions{Name: "orders", Store: newStore(t)}), s
}

func asIs(*pb.Opened) {}

// batchMessage delivers a batch of aggregate 1, with whatever a test adds to it.
func batchMessage(version uint64, add func(*pb.Change)) *pb.SubscribeResponse {
	cursor := func(v uint64) []byte { return convert.CursorBytes(checkpoint.Cursor{Version: v}) }
	c := &pb.Change{Key: convert.KeyMessage(keyOf(1)), Kind: &pb.Change_Batch{Batch: &pb.Batch{Version: version, ClientId: clientID[:]}}, Cursor: cursor(version)}
	if version > 1 {
		c.Previous = cursor(version - 1)
	}
	add(c)
	return &pb.SubscribeResponse{Message: &pb.SubscribeResponse_Changes{Changes: &pb.Changes{FirstDelivery: version, Changes: []*pb.Change{c}}}}
}

// A client takes what a newer gateway adds to messages that it knows, and to states,
// for what it knows of them.
func TestAnOlderClientFollowsANewerGateway(t *testing.T) {
	sub, server := through(t, func(o *pb.Opened) { newer(o).Features = append(o.Features, "teleport") },
		&pb.SubscribeResponse{Message: &pb.SubscribeResponse_State{State: &pb.State{Phase: pb.Phase(77)}}},
		&pb.SubscribeResponse{Message: &pb.SubscribeResponse_State{State: newer(&pb.State{Phase: pb.Phase_PHASE_LIVE})}},
		&pb.SubscribeResponse{Message: &pb.SubscribeResponse_GoAway{GoAway: newer(&pb.GoAway{Reason: pb.GoAwayReason(77)})}},
		batchMessage(1, func(c *pb.Change) { newer(c); newer(c.Key); newer(c.GetBatch()) }),
	)
	w := &world{t: t}
	changes, err := sub.Next(w.context())
	if err != nil || len(changes) != 1 || short(&changes[0]) != "1.1" {
		t.Fatalf("%v, %v", changes, err)
	}
	if err := sub.Commit(w.context(), stream.Entries(changes)); err != nil {
		t.Fatal(err)
	}
	if m := <-server.sent; m.GetHandled().GetDeliveries()[0].GetFirst() != 1 {
		t.Errorf("the client sent %v", m)
	}
}

// A client ends, and acknowledges nothing, where it would have to guess.
func TestAnOlderClientEndsWhereItWouldHaveToGuess(t *testing.T) {
	for name, test := range map[string]struct {
		opened func(*pb.Opened)
		m      *pb.SubscribeResponse
		text   string
	}{
		"a change of a later kind":      {asIs, batchMessage(1, func(c *pb.Change) { newer(c).Kind = nil }), "newer than this client"},
		"a message of a later kind":     {asIs, newer(new(pb.SubscribeResponse)), "newer than this client"},
		"a cursor of a later format":    {asIs, batchMessage(1, func(c *pb.Change) { c.Cursor[0] = 77 }), "cursor"},
		"another start than asked for":  {func(o *pb.Opened) { start := pb.Start(77); o.Effective.Start = &start }, batchMessage(1, func(*pb.Change) {}), "it grants"},
		"no echo of the options":        {func(o *pb.Opened) { o.Effective = nil }, batchMessage(1, func(*pb.Change) {}), "it grants"},
		"another way to hold positions": {func(o *pb.Opened) { newer(o.Effective).Position = nil }, batchMessage(1, func(*pb.Change) {}), "it grants"},
	} {
		t.Run(name, func(t *testing.T) {
			sub, server := through(t, test.opened, test.m)
			changes, err := sub.Next((&world{t: t}).context())
			if err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, %v", changes, err)
			}
			<-sub.Done()
			for {
				select {
				case m := <-server.sent:
					if m.GetHandled() != nil {
						t.Errorf("the client acknowledged %v", m)
					}
					continue
				default:
				}
				break
			}
		})
	}
}

// A client that was generated from the interface of the last release follows this
// gateway.
func TestAClientOfTheLastReleaseFollows(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	w.write(1, "a", "b")
	image, err := os.ReadFile("proto/released.binpb")
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(image, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	found, err := files.FindDescriptorByName("celeriant.gateway.v1.SubscriptionService.Subscribe")
	if err != nil {
		t.Fatal(err)
	}
	method := found.(protoreflect.MethodDescriptor)
	s, err := w.connect().NewStream(w.context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/celeriant.gateway.v1.SubscriptionService/Subscribe")
	if err != nil {
		t.Fatal(err)
	}
	// as makes a message of the released interface, field by field.
	as := func(to protoreflect.MessageDescriptor, m proto.Message) proto.Message {
		out := dynamicpb.NewMessage(to)
		encoded, err := proto.Marshal(m)
		if err == nil {
			err = proto.Unmarshal(encoded, out)
		}
		if err != nil {
			t.Fatal(err)
		}
		if unknown := out.ProtoReflect().GetUnknown(); len(unknown) > 0 {
			t.Fatalf("the released interface does not know all of %v", m)
		}
		return out
	}
	send := func(m *pb.SubscribeRequest) {
		t.Helper()
		if err := s.SendMsg(as(method.Input(), m)); err != nil {
			t.Fatal(err)
		}
	}
	send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: &pb.Open{
		Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: pb.Start_START_FROM_BEGINNING.Enum(), MaxOutstandingChanges: 1,
	}}})
	for seen := 0; seen < 2; {
		answer := dynamicpb.NewMessage(method.Output())
		if err := s.RecvMsg(answer); err != nil {
			t.Fatal(err)
		}
		changes := answer.Get(method.Output().Fields().ByName("changes")).Message()
		of := changes.Descriptor().Fields()
		list := changes.Get(of.ByName("changes")).List()
		for i := range list.Len() {
			if c := list.Get(i).Message(); c.Has(c.Descriptor().Fields().ByName("batch")) {
				seen++
			}
		}
		if n := uint64(list.Len()); n > 0 {
			first := changes.Get(of.ByName("first_delivery")).Uint()
			send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{{First: first, Last: first + n - 1}}}}})
		}
	}
}
