package stream_test

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// A subscription delivers what is there, says that it has caught up, and
// continues from its checkpoint when it is opened again.
func Example() {
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

	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	write := func(text string) {
		_, err := p.WriteEvents(ctx, order, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(text)}}, msg.IDFromUint64(9), pool.WriteOptions{})
		if err != nil {
			fmt.Println(err)
		}
	}
	store := checkpoint.NewMemory()
	follow := func() {
		s, err := stream.Open(ctx, stream.FromPool(p), stream.Types(order.Org, order.Type), stream.Options{Name: "orders", Store: store})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer func() { _ = s.Close(ctx) }()
		for {
			changes, err := s.Next(ctx)
			if err != nil {
				fmt.Println(err)
				return
			}
			for _, c := range changes {
				if c.Kind == stream.CaughtUp {
					fmt.Println("caught up")
					return
				}
				fmt.Printf("version %d: %s\n", c.Batch.Version, c.Batch.Events[0].Value)
			}
			if err := s.Commit(ctx, stream.Entries(changes)); err != nil {
				fmt.Println(err)
				return
			}
		}
	}

	write("placed")
	write("paid")
	follow()
	write("shipped")
	follow()
	// Output:
	// version 1: placed
	// version 2: paid
	// caught up
	// version 3: shipped
	// caught up
}
