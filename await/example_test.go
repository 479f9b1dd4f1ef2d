package await_test

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

// Write, wait until the read model shows it, read.
func Example() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(context.Background())
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()

	// The read model, usually in another process.
	store := checkpoint.NewMemory()
	titles := make(chan string, 1)
	orders := client.Watch(celeriant.Everything(), celeriant.WithName("orders"), celeriant.WithCheckpoints(store))
	go operators.ForEach(ctx, orders, func(_ context.Context, c celeriant.Change) error {
		if c.Kind == celeriant.Batch {
			titles <- string(c.Batch.Events[0].Value)
		}
		return nil
	})

	key := keyOf(1)
	event := msg.Event{ClientSeq: 1, Major: 1, Value: []byte("a book")}
	version, err := client.WriteEvents(ctx, key, []msg.Event{event}, msg.IDFromUint64(7))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Await(ctx, store, "orders", key, version); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-titles)
	// Output: a book
}
