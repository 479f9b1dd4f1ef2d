package celeriant_test

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Follow every order, from the beginning on, until nothing new is there. With
// the same store the next run would go on behind it.
func Example() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()

	ctx := context.Background()
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	org, orderType, me := msg.IDFromUint64(1), msg.IDFromUint64(2), msg.IDFromUint64(3)
	order := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(42)}
	for i, text := range []string{"placed", "paid", "shipped"} {
		events := []msg.Event{{ClientSeq: uint64(i + 1), Major: 1, Value: []byte(text)}}
		if _, err := client.WriteEvents(ctx, order, events, me); err != nil {
			fmt.Println(err)
			return
		}
	}

	orders := client.Watch(celeriant.Types(org, orderType),
		celeriant.WithName("orders"), celeriant.WithCheckpoints(checkpoint.NewMemory()))
	for change, err := range orders.All(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if change.Kind == celeriant.CaughtUp {
			fmt.Println("caught up")
			break
		}
		fmt.Printf("%d: %s\n", change.Batch.Version, change.Batch.Events[0].Value)
	}
	// Output:
	// 1: placed
	// 2: paid
	// 3: shipped
	// caught up
}
