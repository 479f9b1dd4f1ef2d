package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/natsstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A consumer whose position is in JetStream.
func Example() {
	dir, err := os.MkdirTemp("", "natsstore")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	broker, err := server.NewServer(&server.Options{Port: server.RANDOM_PORT, Host: "127.0.0.1", JetStream: true, StoreDir: dir, NoSigs: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	broker.Start()
	defer stop(broker)
	if !broker.ReadyForConnections(patience) {
		return
	}
	conn, err := nats.Connect(broker.ClientURL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
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
	ctx := context.Background()
	defer client.Close(ctx)

	store, err := natsstore.Open(ctx, conn, natsstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	placed := msg.Event{ClientSeq: 1, Major: 1, Value: []byte("placed")}
	if _, err := client.Pool().WriteEvents(ctx, order, []msg.Event{placed}, msg.IDFromUint64(7), pool.WriteOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	enough := errors.New("enough")
	ctx, end := context.WithCancelCause(ctx)
	orders := client.Watch(celeriant.Orgs(order.Org), celeriant.WithName("mail"), celeriant.WithCheckpoints(store))
	err = operators.ForEach(ctx, orders, func(_ context.Context, c stream.Change) error {
		switch c.Kind {
		case stream.Batch:
			fmt.Println("mail:", string(c.Batch.Events[0].Value))
		case stream.CaughtUp:
			end(enough)
		}
		return nil
	})
	fmt.Println(errors.Is(err, enough))
	cursors, err := store.Load(context.Background(), "mail", []msg.Key{order})
	fmt.Println(cursors[0], err)
	// Output:
	// mail: placed
	// true
	// life 0 version 1 <nil>
}
