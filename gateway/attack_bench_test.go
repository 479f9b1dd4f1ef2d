package gateway_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
)

// attackPace is the pause between two attempts of an attacker.
const attackPace = 5 * time.Millisecond

// attacker repeats what abuses a connection until ctx ends.
type attacker func(ctx context.Context, conn *grpc.ClientConn)

// subscribes opens a stream, which once may go on with, and leaves it open.
func subscribes(ctx context.Context, conn *grpc.ClientConn, open *pb.Open, once func(pb.SubscriptionService_SubscribeClient)) {
	s, err := pb.NewSubscriptionServiceClient(conn).Subscribe(ctx)
	if err != nil {
		return
	}
	_ = s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}})
	if once != nil {
		once(s)
	}
}

func attacks() map[string]attacker {
	beginning := pb.Start_START_FROM_BEGINNING
	history := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: &beginning}
	live := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}}
	details := func(ctx context.Context, conn *grpc.ClientConn, number uint64) {
		key := convert.KeyMessage(keyOf(number))
		_, _ = pb.NewEventServiceClient(conn).GetDetails(ctx, &pb.GetDetailsRequest{Key: key})
	}
	return map[string]attacker{
		"never-reads": func(ctx context.Context, conn *grpc.ClientConn) { subscribes(ctx, conn, history, nil) },
		"false-numbers": func(ctx context.Context, conn *grpc.ClientConn) {
			subscribes(ctx, conn, live, func(s pb.SubscriptionService_SubscribeClient) {
				r := &pb.Range{First: 1, Last: 1 << 60}
				_ = s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{r}}}})
				for {
					if _, err := s.Recv(); err != nil {
						return
					}
				}
			})
		},
		"metadata": func(ctx context.Context, conn *grpc.ClientConn) {
			details(metadata.AppendToOutgoingContext(ctx, "x", strings.Repeat("x", 1<<20)), conn, 1)
		},
		"oversize": func(ctx context.Context, conn *grpc.ClientConn) {
			big := &pb.Open{RequiredFeatures: []string{strings.Repeat("x", 8<<20)}}
			subscribes(ctx, conn, big, func(s pb.SubscriptionService_SubscribeClient) { _, _ = s.Recv() })
		},
		"calls": func(ctx context.Context, conn *grpc.ClientConn) { details(ctx, conn, 99) },
	}
}

// BenchmarkAttacks measures what a client that follows live sees of clients that misuse
// the gateway, 200 attempts in a second: the time from a write to its delivery, in turns
// with and without the attack. The attackers run in the same process.
func BenchmarkAttacks(b *testing.B) {
	for name, attack := range attacks() {
		b.Run(name, func(b *testing.B) {
			w := newLimitedWorld(b, celerianttest.Run(b, celerianttest.Options{}).Addr(), gateway.Limits{})
			w.seed(b, 5000)
			deliver := w.through(b)
			var times [2][]time.Duration
			before, most := memory(), uint64(0)
			for b.Loop() {
				for i := range times {
					stop := func() {}
					if i == 1 {
						stop = begin(b, w.address, attack)
					}
					for range 1000 {
						times[i] = append(times[i], deliver())
					}
					if i == 1 {
						most = max(most, memory())
					}
					stop()
				}
			}
			for i := range times {
				slices.Sort(times[i])
			}
			at := func(i, percent int) float64 { return float64(times[i][len(times[i])*percent/100].Microseconds()) }
			b.ReportMetric(at(0, 50), "p50-alone-µs")
			b.ReportMetric(at(1, 50), "p50-µs")
			b.ReportMetric(at(1, 50)/at(0, 50), "p50-ratio")
			b.ReportMetric(at(1, 99)/at(0, 99), "p99-ratio")
			b.ReportMetric(float64(max(most, before)-before)/(1<<20), "MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// begin attacks until stop is called.
func begin(b *testing.B, address string, attack attacker) (stop func()) {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(attackPace)
		defer tick.Stop()
		for ctx.Err() == nil {
			attack(ctx, conn)
			<-tick.C
		}
	})
	return func() {
		cancel()
		_ = conn.Close()
		work.Wait()
	}
}

// follow opens a live stream and returns how to wait for its next change, which tells
// when it came.
func follow(b *testing.B, w *benchWorld) (next func() (came time.Time)) {
	b.Helper()
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	s, err := pb.NewSubscriptionServiceClient(conn).Subscribe(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	open := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}}
	if err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}}); err != nil {
		b.Fatal(err)
	}
	next = func() (came time.Time) {
		for {
			m, err := s.Recv()
			if err != nil {
				b.Fatal(err)
			}
			came = time.Now()
			if c := m.GetChanges(); c != nil {
				r := &pb.Range{First: c.FirstDelivery, Last: c.FirstDelivery + uint64(len(c.Changes)) - 1}
				if err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{r}}}}); err != nil {
					b.Fatal(err)
				}
				return came
			}
		}
	}
	next() // CaughtUp
	return next
}
