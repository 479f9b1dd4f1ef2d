package logstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/logstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// A consumer of everything that keeps its position in the event store: its own saves
// are no changes to it.
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
	store, err := logstore.Open(ctx, client.Pool(), logstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	run := func(what string) {
		event := msg.Event{ClientSeq: 1, Major: 1, Value: []byte(what)}
		if _, err := client.Pool().WriteEvents(ctx, order, []msg.Event{event}, msg.IDFromUint64(7), pool.WriteOptions{}); err != nil {
			fmt.Println(err)
			return
		}
		enough := errors.New("enough")
		running, stop := context.WithCancelCause(ctx)
		mail := client.Watch(celeriant.Everything(), celeriant.WithName("mail"), celeriant.WithCheckpoints(store))
		err := operators.ForEach(running, mail, func(_ context.Context, c stream.Change) error {
			switch c.Kind {
			case stream.Batch:
				fmt.Println(c.Batch.Version, string(c.Batch.Events[0].Value))
			case stream.CaughtUp:
				stop(enough)
			}
			return nil
		})
		fmt.Println(errors.Is(err, enough))
	}
	run("placed")
	run("paid")
	// Output:
	// 1 placed
	// true
	// 2 paid
	// true
}
