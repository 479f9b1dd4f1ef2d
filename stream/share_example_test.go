package stream_test

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Three subscriptions on one shared source use one watch connection.
func ExampleShare() {
	ctx := context.Background()
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = node.Close() }()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close(ctx) }()
	shared := stream.Share(stream.FromPool(p))
	defer func() { _ = shared.Close(ctx) }()

	scope := stream.Types(msg.IDFromUint64(1), msg.IDFromUint64(2))
	for range 3 {
		s, err := stream.Open(ctx, shared, scope, stream.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer func() { _ = s.Close(ctx) }()
		if _, err := s.Next(ctx); err != nil { // caught up: nothing is there
			fmt.Println(err)
			return
		}
	}
	stats := shared.Stats()
	fmt.Println(stats.Subscribers, "subscribers,", stats.Upstreams, "connection")
	// Output: 3 subscribers, 1 connection
}
