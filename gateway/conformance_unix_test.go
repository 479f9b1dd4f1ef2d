//go:build unix

package gateway_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/celerianttest/conformance"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/client"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/stream"
)

var (
	stormTime = flag.Duration("gateway.storm", time.Second, "how long the storm through a gateway lasts")
	stormSeed = flag.Uint64("gateway.seed", 1, "what the storm is drawn from")
)

// The guarantees hold through a gateway that is killed and stopped, while its
// connections on both sides are cut and the node is killed and paused, for positions that the
// client holds and for those that nobody does: the judge is that of subscriptions
// without a gateway.
//
//covers:g20 killed
func TestConformanceThroughAGateway(t *testing.T) {
	t.Parallel()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	behind := newProxy(t, node.Addr())
	running, err := startProcess(behind.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.kill() })
	front := newProxy(t, running.address)
	c, err := client.Connect(front.address(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	random := rand.New(rand.NewPCG(*stormSeed, 1))
	next := 0
	disturb := func(ctx context.Context) (string, error) {
		kind := next
		if next++; next > 6 { // each once, then by chance
			kind = random.IntN(7)
		}
		switch kind {
		case 0:
			return fmt.Sprintf("%d connections of clients cut", front.cut()), nil
		case 1:
			return fmt.Sprintf("%d connections to the node cut", behind.cut()), nil
		case 2:
			running.kill()
			var err error
			if running, err = startProcess(behind.address()); err == nil {
				front.target.Store(&running.address)
			}
			return "the gateway killed", err
		case 3:
			if err := running.command.Process.Signal(syscall.SIGSTOP); err != nil {
				return "", err
			}
			pause(time.Duration(random.IntN(300)) * time.Millisecond)
			return "the gateway stopped for a while", running.command.Process.Signal(syscall.SIGCONT)
		case 4:
			node.Kill()
			pause(time.Duration(random.IntN(100)) * time.Millisecond)
			return "the node killed", node.Restart()
		case 5:
			node.Pause()
			pause(time.Duration(random.IntN(300)) * time.Millisecond)
			node.Resume()
			return "the node paused for a while", nil
		}
		return fmt.Sprintf("%d connections on both sides cut", front.cut()+behind.cut()), nil
	}
	held := conformance.Way{Open: func(ctx context.Context, scope stream.Scope, o stream.Options) (conformance.Subscription, error) {
		return c.Watch(scope, client.WatchOptions{Name: o.Name, Store: o.Store}).Subscribe(ctx)
	}}
	forgotten := conformance.Way{Forgets: true, Open: func(ctx context.Context, scope stream.Scope, o stream.Options) (conformance.Subscription, error) {
		return subscribePassing(ctx, front.address(), scope)
	}}
	conformance.Through(t, conformance.Target{Addresses: []string{node.Addr()}, Storm: *stormTime, Seed: *stormSeed}, disturb, held, held, forgotten)
}

// passing is a subscription of a position that nobody holds.
type passing struct {
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[pb.SubscribeRequest, pb.SubscribeResponse]
	cancel context.CancelFunc
	given  *pb.Range // what was taken and not acknowledged
	cause  error
}

func subscribePassing(ctx context.Context, address string, scope stream.Scope) (*passing, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	p := &passing{conn: conn}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	beginning := pb.Start_START_FROM_BEGINNING
	open := &pb.Open{Scope: convert.ScopeMessage(scope), Position: &pb.Open_None{None: new(pb.NoPosition)}, Start: &beginning}
	if p.stream, err = pb.NewSubscriptionServiceClient(conn).Subscribe(own); err == nil {
		err = p.stream.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: open}})
	}
	if err != nil {
		_ = p.Close(ctx)
		return nil, err
	}
	return p, nil
}

func (p *passing) Next(ctx context.Context) ([]stream.Change, error) {
	defer context.AfterFunc(ctx, p.cancel)()
	for {
		m, err := p.stream.Recv()
		if err != nil {
			p.cause = err
			return nil, err
		}
		changes := m.GetChanges()
		if changes == nil {
			continue
		}
		p.given = &pb.Range{First: changes.FirstDelivery, Last: changes.FirstDelivery + uint64(len(changes.Changes)) - 1}
		var all []stream.Change
		for _, change := range changes.Changes {
			c, err := convert.Change(change)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		return all, nil
	}
}

// Commit acknowledges the slice that was taken last.
func (p *passing) Commit(context.Context, []checkpoint.Entry) error {
	return p.stream.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{p.given}}}})
}

func (p *passing) Close(context.Context) error {
	p.cancel()
	if p.cause == nil {
		p.cause = stream.ErrClosed
	}
	return p.conn.Close()
}

func (p *passing) Err() error { return p.cause }
