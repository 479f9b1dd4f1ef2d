package gateway_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/client"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

var (
	org      = msg.IDFromUint64(1)
	typ      = msg.IDFromUint64(2)
	clientID = msg.IDFromUint64(3)
)

func keyOf(n uint64) msg.Key { return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(n)} }

// patience bounds what a test waits for; it is no measure of speed.
const patience = time.Minute

// world is a node, a gateway before it, and a client of the node for what tests
// write.
type world struct {
	t       *testing.T
	node    *celerianttest.Node
	store   *celeriant.Client
	server  *gateway.Server
	address string
}

func newWorld(t *testing.T, opts gateway.Options) *world {
	t.Helper()
	return newWorldOn(t, celerianttest.Run(t, celerianttest.Options{Shards: 2}), opts)
}

func newWorldOn(t *testing.T, node *celerianttest.Node, opts gateway.Options) *world {
	t.Helper()
	w := &world{t: t, node: node}
	var err error
	if w.store, err = celeriant.Connect(node.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIn(t, w.store.Close) })
	w.server, w.address = serve(t, w.store, opts)
	return w
}

// serve runs a gateway until the test ends.
func serve(t *testing.T, store *celeriant.Client, opts gateway.Options) (*gateway.Server, string) {
	t.Helper()
	if opts.DrainDelay == 0 {
		opts.DrainDelay, opts.DrainWindow = -1, -1
	}
	server, err := gateway.NewServer(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // a test may leave streams open
		serving.Wait()
	})
	return server, listener.Addr().String()
}

func closeIn(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Error(err)
	}
}

// context ends with the test, or when a wait takes too long.
func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// write appends a batch of one event for each payload.
func (w *world) write(key uint64, payloads ...string) {
	w.t.Helper()
	for _, p := range payloads {
		events := []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(p)}}
		if _, err := w.store.WriteEvents(w.context(), keyOf(key), events, clientID); err != nil {
			w.t.Fatal(err)
		}
	}
}

// connect returns a raw connection.
func (w *world) connect(opts ...grpc.DialOption) *grpc.ClientConn {
	w.t.Helper()
	opts = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)
	conn, err := grpc.NewClient(w.address, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// client returns a Go client.
func (w *world) client(opts client.Options) *client.Client {
	w.t.Helper()
	c, err := client.Connect(w.address, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// rawStream is a subscription whose messages a test writes itself.
type rawStream struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[pb.SubscribeRequest, pb.SubscribeResponse]
	cancel context.CancelFunc
	opened *pb.Opened
}

// ofType is the scope of the tests' type.
func ofType() *pb.Scope { return convert.ScopeMessage(stream.Types(org, typ)) }

func clientHeld() *pb.Open {
	return &pb.Open{Scope: ofType(), Position: &pb.Open_ClientHeld{ClientHeld: &pb.ClientHeld{}}}
}

// subscribe opens a stream.
func (w *world) subscribe(open *pb.Open, opts ...grpc.DialOption) *rawStream {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.context())
	w.t.Cleanup(cancel)
	s, err := pb.NewSubscriptionServiceClient(w.connect(opts...)).Subscribe(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &rawStream{t: w.t, stream: s, cancel: cancel}
	r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}})
	return r
}

// mustOpen opens a stream and takes its Opened.
func (w *world) mustOpen(open *pb.Open, opts ...grpc.DialOption) *rawStream {
	w.t.Helper()
	r := w.subscribe(open, opts...)
	m, err := r.stream.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	if r.opened = m.GetOpened(); r.opened == nil {
		w.t.Fatalf("the first message is %v", m)
	}
	return r
}

func (r *rawStream) send(m *pb.SubscribeRequest) {
	r.t.Helper()
	if err := r.stream.Send(m); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rawStream) handled(deliveries ...uint64) {
	r.t.Helper()
	m := new(pb.Handled)
	for _, n := range deliveries {
		m.Deliveries = append(m.Deliveries, &pb.Range{First: n, Last: n})
	}
	r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: m}})
}

// next returns the next message that match accepts; look-ups are answered from
// positions meanwhile.
func (r *rawStream) next(positions map[msg.Key][]byte, match func(*pb.SubscribeResponse) bool) *pb.SubscribeResponse {
	r.t.Helper()
	for {
		m, err := r.stream.Recv()
		if err != nil {
			r.t.Fatal(err)
		}
		if l := m.GetLookUp(); l != nil && positions != nil {
			answer := &pb.Cursors{LookUp: l.Id}
			for _, k := range l.Keys {
				key, err := convert.Key("key", k)
				if err != nil {
					r.t.Fatal(err)
				}
				answer.Cursors = append(answer.Cursors, positions[key])
			}
			r.send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Cursors{Cursors: answer}})
		}
		if match(m) {
			return m
		}
	}
}

// delivery is a change with its number.
type delivery struct {
	number uint64
	*pb.Change
}

// changes returns the next n changes.
func (r *rawStream) changes(n int, positions map[msg.Key][]byte) []delivery {
	r.t.Helper()
	var all []delivery
	for len(all) < n {
		m := r.next(positions, func(m *pb.SubscribeResponse) bool { return m.GetChanges() != nil }).GetChanges()
		for i, c := range m.Changes {
			all = append(all, delivery{m.FirstDelivery + uint64(i), c})
		}
	}
	return all
}

// describe is a change in short: "3.1" is version 1 of aggregate 3.
func (d delivery) describe() string {
	switch {
	case d.GetCaughtUp() != nil:
		return "caught up"
	case d.GetBatch() != nil:
		return fmt.Sprintf("%d.%d", d.Key.Aggregate[15], d.GetBatch().Version)
	}
	return fmt.Sprintf("%T", d.Kind)
}

// end receives until the stream ends and returns why.
func (r *rawStream) end() error {
	for {
		if _, err := r.stream.Recv(); err != nil {
			return err
		}
	}
}

var noPositions = map[msg.Key][]byte{}

func celeriantOptions(name string, store checkpoint.Store) []celeriant.WatchOption {
	return []celeriant.WatchOption{celeriant.WithName(name), celeriant.WithCheckpoints(store)}
}

// newStore is a checkpoint store that the test closes.
func newStore(t *testing.T) *checkpoint.Memory {
	t.Helper()
	store := checkpoint.NewMemory()
	t.Cleanup(func() { _ = store.Close() })
	return store
}
