package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
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

// idleEnvironment makes the test binary a process of idle clients.
const idleEnvironment = "CELERIANT_BENCH_IDLE"

// BenchmarkIdle measures the memory of the gateway for each idle subscriber at 100
// streams for a connection; the clients are another process.
func BenchmarkIdle(b *testing.B) {
	if target := os.Getenv(idleEnvironment); target != "" {
		idleClients(b, target)
		return
	}
	for _, shards := range []int{1, 16} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			const streams = 2_000
			w := newBenchWorld(b, shards)
			w.seed(b, 10)
			before := memory()
			c := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "BenchmarkIdle", "-test.benchtime", "1x")
			c.Env = append(os.Environ(), idleEnvironment+"="+w.address+" "+strconv.Itoa(streams))
			out, err := c.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			in, err := c.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Start(); err != nil {
				b.Fatal(err)
			}
			var line string
			for line != "ready" {
				if _, err := fmt.Fscanln(out, &line); err == io.EOF {
					b.Fatal("the clients ended")
				}
			}
			// The goroutines that opened the watches stay a moment.
			for deadline := time.Now().Add(patience); runtime.NumGoroutine() > 4*streams && time.Now().Before(deadline); {
				pause(100 * time.Millisecond)
			}
			after := memory()
			b.ReportMetric(float64(after-before)/streams/1024, "KiB/subscriber")
			b.ReportMetric(0, "ns/op")
			_ = in.Close()
			_ = c.Process.Kill()
			_ = c.Wait()
		})
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// idleClients opens streams and waits.
func idleClients(b *testing.B, target string) {
	var address string
	var streams int
	if _, err := fmt.Sscan(target, &address, &streams); err != nil {
		b.Fatal(err)
	}
	var opening sync.WaitGroup
	for first := 0; first < streams; first += 100 {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		opening.Go(func() {
			for i := range min(100, streams-first) {
				openIdle(b, conn, first+i)
			}
		})
	}
	opening.Wait()
	fmt.Println("\nready")
	_, _ = io.ReadAll(os.Stdin)
}

// openIdle opens a stream and waits until it is live.
func openIdle(b *testing.B, conn *grpc.ClientConn, number int) {
	s, err := pb.NewSubscriptionServiceClient(conn).Subscribe(context.Background())
	if err != nil {
		b.Error(err)
		return
	}
	scope := convert.ScopeMessage(stream.Aggregates(keyOf(uint64(number % 20))))
	open := &pb.Open{Scope: scope, Position: &pb.Open_None{None: new(pb.NoPosition)}}
	if err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}}); err != nil {
		b.Error(err)
		return
	}
	for live := false; !live; {
		m, err := s.Recv()
		if err != nil {
			b.Error(err)
			return
		}
		live = m.GetState().GetPhase() == pb.Phase_PHASE_LIVE
	}
}
