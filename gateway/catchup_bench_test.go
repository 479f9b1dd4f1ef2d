//go:build unix

package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/celeriant/celeriant-go/celerianttest"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
)

// seed writes batches of 10 events of 1 KiB to 20 aggregates.
func (w *benchWorld) seed(b *testing.B, events int) {
	b.Helper()
	value := make([]byte, 1<<10)
	batch := make([]msg.Event, 10)
	for i := range batch {
		batch[i] = msg.Event{ClientSeq: 1, Major: 1, Value: value}
	}
	for i := range events / 10 {
		if _, err := w.store.WriteEvents(context.Background(), keyOf(uint64(i%20)), batch, clientID); err != nil {
			b.Fatal(err)
		}
	}
}

// drain subscribes, acknowledges what comes until there are enough events, and
// returns the messages with changes.
func drain(b *testing.B, address string, events int, keep bool) (kept []*pb.SubscribeResponse) {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
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
	beginning := pb.Start_START_FROM_BEGINNING
	open := &pb.Open{Scope: ofType(), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: &beginning}
	if err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}}); err != nil {
		b.Fatal(err)
	}
	for seen := 0; seen < events; {
		m, err := s.Recv()
		if err != nil {
			b.Fatal(err)
		}
		changes := m.GetChanges()
		if changes == nil {
			continue
		}
		for _, c := range changes.Changes {
			seen += len(c.GetBatch().GetEvents())
		}
		if keep {
			kept = append(kept, m)
		}
		r := &pb.Range{First: changes.FirstDelivery, Last: changes.FirstDelivery + uint64(len(changes.Changes)) - 1}
		if err := s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{r}}}}); err != nil {
			b.Fatal(err)
		}
	}
	return kept
}

// bareServer sends messages as grpc-go does it, and takes what the client answers.
type bareServer struct {
	pb.UnimplementedSubscriptionServiceServer
	messages []*pb.SubscribeResponse
}

func (s *bareServer) Subscribe(to grpc.BidiStreamingServer[pb.SubscribeRequest, pb.SubscribeResponse]) error {
	go func() {
		for {
			if _, err := to.Recv(); err != nil {
				return
			}
		}
	}()
	for _, m := range s.messages {
		if err := to.Send(m); err != nil {
			return err
		}
	}
	<-to.Context().Done()
	return io.EOF
}

func bare(b *testing.B, messages []*pb.SubscribeResponse) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterSubscriptionServiceServer(server, &bareServer{messages: messages})
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(server.Stop)
	return listener.Addr().String()
}

// nodeEnvironment makes the test binary a node.
const nodeEnvironment = "CELERIANT_BENCH_NODE"

// nodeProcess starts a node in a process of its own, so that its processor time is not
// counted as the gateway's, and returns its address.
func nodeProcess(b *testing.B) string {
	b.Helper()
	c := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "BenchmarkCatchUp$", "-test.benchtime", "1x")
	c.Env = append(os.Environ(), nodeEnvironment+"=1")
	child := startChild(b, c)
	b.Cleanup(child.stop)
	for child.out.Scan() {
		if address, ok := strings.CutPrefix(child.out.Text(), "node "); ok {
			return address
		}
	}
	b.Fatal("the node ended")
	return ""
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkCatchUp compares a catch-up through the gateway with a stream of
// grpc-go's own that carries the same messages: the bar is 0.8 of it. Where all
// processors are busy, the rates tell of the processor time that the node takes, too;
// the ratio of the processor time of gateway and client to that of server and client
// does not.
func BenchmarkCatchUp(b *testing.B) {
	if os.Getenv(nodeEnvironment) != "" {
		fmt.Println("\nnode", celerianttest.Run(b, celerianttest.Options{}).Addr())
		_, _ = io.ReadAll(os.Stdin)
		return
	}
	const events = 50_000
	w := newBenchWorldAt(b, nodeProcess(b))
	w.seed(b, events)
	messages := drain(b, w.address, events, true)
	plain := bare(b, messages)
	drain(b, plain, events, false)
	var ratios []float64
	var times, used [2]time.Duration
	for b.Loop() { // both in turn, so that what else the machine does meets both
		var took [2]time.Duration
		for i, address := range []string{plain, w.address} {
			began, before := time.Now(), processorTime()
			drain(b, address, events, false)
			took[i] = time.Since(began)
			times[i] += took[i]
			used[i] += processorTime() - before
		}
		ratios = append(ratios, took[0].Seconds()/took[1].Seconds())
	}
	slices.Sort(ratios)
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / events }
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(float64(used[0])/float64(used[1]), "processor-ratio")
	b.ReportMetric(float64(b.N)*events/times[0].Seconds(), "bare-events/s")
	b.ReportMetric(float64(b.N)*events/times[1].Seconds(), "events/s")
	b.ReportMetric(each(used[0]), "bare-processor-ns/event")
	b.ReportMetric(each(used[1]), "processor-ns/event")
	b.ReportMetric(float64(len(messages)), "messages")
	b.ReportMetric(0, "ns/op")
}
