package gateway_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/celeriant/celeriant-go"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// BenchmarkLive measures the time from a write to its delivery, directly and through the
// gateway, and the one-way time of a bare stream of grpc-go, in turn. The bar is the
// direct p50 and 1.3 of the one-way p50; bar-ratio is the gateway's p50 in parts of it.
func BenchmarkLive(b *testing.B) {
	w := newBenchWorld(b, 1)
	w.seed(b, 10)
	other := msg.Key{Org: org, Type: msg.IDFromUint64(4), Aggregate: msg.IDFromUint64(1)}
	w.append(b, other)
	measures := []func() time.Duration{w.direct(b, other), w.through(b), oneWay(b)}
	times := make([][]time.Duration, len(measures))
	for n := 0; b.Loop(); n++ {
		for j := range measures { // each as often behind each other one
			i := (n + j) % len(measures)
			if n%2 == 1 {
				i = len(measures) - 1 - i
			}
			times[i] = append(times[i], measures[i]())
		}
	}
	var p50 [3]float64
	for i := range times {
		slices.Sort(times[i])
		p50[i] = float64(times[i][len(times[i])/2].Nanoseconds()) / 1000
	}
	b.ReportMetric(p50[0], "direct-p50-µs")
	b.ReportMetric(p50[1], "p50-µs")
	b.ReportMetric(p50[2], "one-way-p50-µs")
	b.ReportMetric(p50[1]/(p50[0]+1.3*p50[2]), "bar-ratio")
	b.ReportMetric(0, "ns/op")
}

// append writes one event of 100 bytes.
func (w *benchWorld) append(b *testing.B, key msg.Key) {
	if _, err := w.store.WriteEvents(context.Background(), key, []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 100)}}, clientID); err != nil {
		b.Fatal(err)
	}
}

// direct follows the type of a key without the gateway.
func (w *benchWorld) direct(b *testing.B, key msg.Key) (measure func() time.Duration) {
	b.Helper()
	sub, err := w.store.Watch(stream.Types(key.Org, key.Type), celeriant.WithStart(stream.LiveOnly)).Subscribe(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sub.Close(context.Background()) })
	next := func() (came time.Time) {
		changes, err := sub.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		came = time.Now()
		if err := sub.Commit(context.Background(), stream.Entries(changes)); err != nil {
			b.Fatal(err)
		}
		return came
	}
	next() // CaughtUp
	return func() time.Duration {
		began := time.Now()
		w.append(b, key)
		return next().Sub(began)
	}
}

// through follows through the gateway.
func (w *benchWorld) through(b *testing.B) (measure func() time.Duration) {
	b.Helper()
	next := follow(b, w)
	return func() time.Duration {
		began := time.Now()
		w.append(b, keyOf(1))
		return next().Sub(began)
	}
}

// signalled sends a message whenever it is told to.
type signalled struct {
	pb.UnimplementedSubscriptionServiceServer
	message *pb.SubscribeResponse
	send    chan struct{}
	sent    atomic.Int64 // when it began, in Unix nanoseconds
}

func (s *signalled) Subscribe(to grpc.BidiStreamingServer[pb.SubscribeRequest, pb.SubscribeResponse]) error {
	for {
		select {
		case <-s.send:
			s.sent.Store(time.Now().UnixNano())
			if err := to.Send(s.message); err != nil {
				return err
			}
		case <-to.Context().Done():
			return nil
		}
	}
}

// oneWay measures a bare stream, from Send to the return of Recv.
func oneWay(b *testing.B) (measure func() time.Duration) {
	b.Helper()
	batch := msg.Batch{Version: 1, ClientID: clientID, Events: []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 100)}}}
	change := &pb.Change{Key: convert.KeyMessage(keyOf(1)), Kind: &pb.Change_Batch{Batch: convert.BatchMessage(&batch)}}
	changes := &pb.Changes{FirstDelivery: 1, Changes: []*pb.Change{change}}
	s := &signalled{message: &pb.SubscribeResponse{Message: &pb.SubscribeResponse_Changes{Changes: changes}}, send: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterSubscriptionServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	client, err := pb.NewSubscriptionServiceClient(conn).Subscribe(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return func() time.Duration {
		s.send <- struct{}{}
		if _, err := client.Recv(); err != nil {
			b.Fatal(err)
		}
		return time.Duration(time.Now().UnixNano() - s.sent.Load())
	}
}
