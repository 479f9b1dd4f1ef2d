package gateway_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
)

// BenchmarkFanOut measures the time from a write to its delivery to the last of 1,000
// subscribers, at 100 streams for a connection: the bar is 50 ms. The clients run in the
// same process.
func BenchmarkFanOut(b *testing.B) {
	const subscribers = 1000
	w := newBenchWorld(b, 1)
	w.seed(b, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	live, came := make(chan struct{}, subscribers), make(chan struct{}, subscribers)
	var conn *grpc.ClientConn
	for i := range subscribers {
		if i%100 == 0 {
			var err error
			if conn, err = grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
		}
		s, err := pb.NewSubscriptionServiceClient(conn).Subscribe(ctx)
		if err != nil {
			b.Fatal(err)
		}
		open := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}}
		if err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}}); err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				m, err := s.Recv()
				if err != nil {
					return
				}
				c := m.GetChanges()
				if c == nil {
					continue
				}
				last := c.FirstDelivery + uint64(len(c.Changes)) - 1
				if s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{{First: c.FirstDelivery, Last: last}}}}}) != nil {
					return
				}
				for _, change := range c.Changes {
					if change.GetCaughtUp() != nil {
						live <- struct{}{}
					} else {
						came <- struct{}{}
					}
				}
			}
		}()
	}
	for range subscribers {
		<-live
	}
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := w.store.WriteEvents(ctx, keyOf(1), []msg.Event{{ClientSeq: 1, Major: 1, Value: make([]byte, 1<<10)}}, clientID); err != nil {
			b.Fatal(err)
		}
		for range subscribers {
			<-came
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}
