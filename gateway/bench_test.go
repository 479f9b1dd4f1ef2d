package gateway_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
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
	return newLimitedWorld(b, node, gateway.Limits{StreamsPerCaller: 100_000, CatchUps: 64, CatchUpsPerCaller: 64})
}

func newLimitedWorld(b *testing.B, node string, limits gateway.Limits) *benchWorld {
	b.Helper()
	store, err := celeriant.Connect(node)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close(context.Background()) })
	server, err := gateway.NewServer(store, gateway.Options{DrainDelay: -1, DrainWindow: -1, Limits: limits})
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
