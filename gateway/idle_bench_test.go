package gateway_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/stream"
)

// idleEnvironment makes the test binary a process of idle clients.
const idleEnvironment = "CELERIANT_BENCH_IDLE"

var idleSubscribers = flag.Int("gateway.idle", 2000, "the subscribers of BenchmarkIdle")

// BenchmarkIdle measures the memory of the gateway for each idle subscriber at 100
// streams for a connection, and for each connection; the clients are another process.
// The most goroutines are those while the subscribers open and each first looks at what
// is new.
func BenchmarkIdle(b *testing.B) {
	if target := os.Getenv(idleEnvironment); target != "" {
		idleClients(b, target)
		return
	}
	for _, shards := range []int{1, 16} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			w := newBenchWorld(b, shards)
			w.seed(b, 10)
			c := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "BenchmarkIdle", "-test.benchtime", "1x")
			c.Env = append(os.Environ(), idleEnvironment+"="+w.address+" "+strconv.Itoa(*idleSubscribers))
			clients := startChild(b, c)
			defer clients.stop()
			begin := memory()
			clients.await(b, "connected")
			connected := memory()
			clients.await(b, "live")
			most := settled(*idleSubscribers)
			live := memory()
			b.ReportMetric(float64(connected-begin)/float64(*idleSubscribers/100)/1024, "KiB/connection")
			b.ReportMetric(float64(live-connected)/float64(*idleSubscribers)/1024, "KiB/subscriber")
			b.ReportMetric(float64(most), "goroutines-at-most")
			b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// settled waits until the subscribers have had their look at what is new, some seconds
// after they opened, and returns the most goroutines that there were.
func settled(streams int) (most int) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); pause(10 * time.Millisecond) {
		most = max(most, runtime.NumGoroutine())
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > 3*streams && time.Now().Before(deadline); {
		pause(100 * time.Millisecond)
	}
	return most
}

func memory() uint64 {
	for range 5 { // each halves the stacks that have become too large
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// idleClients connects, opens streams and waits, each when it is told to.
func idleClients(b *testing.B, target string) {
	var address string
	var streams int
	if _, err := fmt.Sscan(target, &address, &streams); err != nil {
		b.Fatal(err)
	}
	orders := bufio.NewScanner(os.Stdin)
	conns := make([]*grpc.ClientConn, streams/100)
	orders.Scan()
	for i := range conns {
		var err error
		if conns[i], err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			b.Fatal(err)
		}
		conns[i].Connect()
		for s := conns[i].GetState(); s != connectivity.Ready; s = conns[i].GetState() {
			conns[i].WaitForStateChange(context.Background(), s)
		}
	}
	fmt.Println("\nconnected")
	orders.Scan()
	var opening sync.WaitGroup
	for i, conn := range conns {
		opening.Go(func() {
			for j := range 100 {
				openIdle(b, conn, i*100+j)
			}
		})
	}
	opening.Wait()
	fmt.Println("\nlive")
	orders.Scan()
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
