package gateway_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// benchWorld is a world without a testing.T.
type benchWorld struct {
	store   *celeriant.Client
	address string
}

func newBenchWorld(b *testing.B, shards int) *benchWorld {
	b.Helper()
	return newBenchWorldAt(b, celerianttest.Run(b, celerianttest.Options{Shards: shards}).Addr())
}

// newBenchWorldAt is a gateway before a node elsewhere.
func newBenchWorldAt(b *testing.B, node string) *benchWorld {
	b.Helper()
	store, err := celeriant.Connect(node)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close(context.Background()) })
	server, err := gateway.NewServer(store, gateway.Options{DrainDelay: -1, DrainWindow: -1, Limits: gateway.Limits{StreamsPerCaller: 100_000, CatchUps: 64, CatchUpsPerCaller: 64}})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	return &benchWorld{store, listener.Addr().String()}
}

// BenchmarkLive measures the time from a write's answer... to its delivery, directly
// and through the gateway.
func BenchmarkLive(b *testing.B) {
	w := newBenchWorld(b, 1)
	w.seed(b, 10)
	b.Run("direct", func(b *testing.B) {
		sub, err := w.store.Watch(stream.Types(org, typ), celeriant.WithStart(stream.FromNow)).Subscribe(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		defer sub.Close(context.Background())
		live(b, w, func() (bool, error) {
			changes, err := sub.Next(context.Background())
			if err != nil {
				return false, err
			}
			return changes[len(changes)-1].Kind == stream.CaughtUp, sub.Commit(context.Background(), stream.Entries(changes))
		})
	})
	b.Run("gateway", func(b *testing.B) {
		conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s, err := pb.NewSubscriptionServiceClient(conn).Subscribe(ctx)
		if err != nil {
			b.Fatal(err)
		}
		open := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}}
		if err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}}); err != nil {
			b.Fatal(err)
		}
		live(b, w, func() (bool, error) {
			for {
				m, err := s.Recv()
				if err != nil {
					return false, err
				}
				if c := m.GetChanges(); c != nil {
					r := &pb.Range{First: c.FirstDelivery, Last: c.FirstDelivery + uint64(len(c.Changes)) - 1}
					err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{r}}}})
					return c.Changes[len(c.Changes)-1].GetCaughtUp() != nil, err
				}
			}
		})
	})
}

// live writes one event at a time and waits for it.
func live(b *testing.B, w *benchWorld, next func() (caughtUp bool, err error)) {
	b.Helper()
	for {
		caughtUp, err := next()
		if err != nil {
			b.Fatal(err)
		}
		if caughtUp {
			break
		}
	}
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := w.store.WriteEvents(context.Background(), keyOf(1), []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 100)}}, clientID); err != nil {
			b.Fatal(err)
		}
		if _, err := next(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}
