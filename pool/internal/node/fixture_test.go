package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("refused by the network")

// settings are those of a test's node; nil Dial leads to sockets that stay silent.
type settings struct {
	dial           conn.DialFunc
	introduce      func(context.Context) (*conn.Introduction, error)
	maxConnections int
	events         Events
}

func newNode(t testing.TB, s settings) *Node {
	if s.dial == nil {
		s.dial = silent(t)
	}
	n := New(Config{
		MaxConnections: max(s.maxConnections, 2), IdleTimeout: 25 * time.Second,
		RequestTimeout: 2 * time.Second, WatchLiveness: 15 * time.Second, Events: s.events,
	}, conn.NewOpener(conn.Config{
		Address: "n:1", Dial: s.dial, Introduce: s.introduce, Dictionaries: new(conn.Dictionaries), IDs: conn.NewCorrelator(),
		ConnectTimeout: 2 * time.Second, MaxRequest: 1 << 20, MaxResponse: 1 << 20, Version: wire.V2,
		Logger: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(func() {
		n.Close()
		n.Abort()
	})
	return n
}

// silent dials a listener that accepts and stays silent; the kernel completes
// connections that nobody accepts.
func silent(t testing.TB) conn.DialFunc {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
	}
}

// pipes dials the near ends of pipes, after allow.
func pipes(t testing.TB, allow func(ctx context.Context, dial int) error) conn.DialFunc {
	dials := 0
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials++
		if allow != nil {
			if err := allow(ctx, dials); err != nil {
				return nil, err
			}
		}
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		return near, nil
	}
}

// answering dials nodes that answer every request with what reply says, nil for never.
func answering(t testing.TB, reply func(dial int, req msg.Request) msg.Response) conn.DialFunc {
	dials := 0
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		dials++
		dial := dials
		go func() {
			defer far.Close()
			for {
				header, body, err := wire.ReadRequestFrame(far, 0, nil, nil)
				if err != nil {
					return
				}
				req, err := wire.DecodeRequest(header.Version, msg.RequestType(header.Type), body)
				if err != nil {
					t.Error(err)
					return
				}
				resp := reply(dial, req)
				if resp == nil {
					continue
				}
				frame, err := wire.AppendResponse(nil, header.Version, resp, nil, 0)
				if err != nil {
					t.Error(err)
				}
				if _, err := far.Write(frame); err != nil {
					return
				}
			}
		}()
		return near, nil
	}
}

// details answers a details request.
func details(req msg.Request) msg.Response {
	resp := &msg.DetailsResponse{}
	resp.SetCorrelation(req.Correlation())
	return resp
}

func lease(t testing.TB, n *Node, shard Shard) *leased {
	t.Helper()
	c, err := n.acquire(context.Background(), wanted{shard: shard})
	if err != nil {
		t.Fatal(err)
	}
	c.setShard(shard)
	return c
}

func tryLease(n *Node, ctx context.Context) error {
	c, err := n.acquire(ctx, wanted{})
	if err == nil {
		n.release(c)
	}
	return err
}

// records keeps the attempts it is told.
type records []conn.Attempt

func (r *records) Record(a conn.Attempt) { *r = append(*r, a) }

func (m moment) add(d time.Duration) moment { return moment{m.monotonic.Add(d), m.wall.Add(d)} }
