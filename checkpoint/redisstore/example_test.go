//go:build redis

package redisstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/redis/go-redis/v9"
)

// A read model in Redis, each batch applied exactly once.
func Example() {
	server, err := shared()
	if err != nil {
		fmt.Println(err)
		return
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Address})
	defer rdb.Close()
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
	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	for _, line := range []string{"book", "pen"} {
		event := msg.Event{ClientSeq: 1, Major: 1, Value: []byte(line)}
		if _, err := client.Pool().WriteEvents(ctx, order, []msg.Event{event}, msg.IDFromUint64(7), pool.WriteOptions{}); err != nil {
			fmt.Println(err)
			return
		}
	}

	store, err := redisstore.Open(ctx, rdb, redisstore.Options{Prefix: "example:"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	enough := errors.New("enough")
	running, stop := context.WithCancelCause(ctx)
	orders := client.Watch(celeriant.Types(order.Org, order.Type), celeriant.WithName("lines"), celeriant.WithCheckpoints(store))
	err = operators.ProjectIn(running, orders, store, func(ctx context.Context, tx *redisstore.Tx, changes []stream.Change) error {
		for _, c := range changes {
			lines := "lines of " + c.Key.Aggregate.String()
			switch c.Kind {
			case stream.Batch:
				if _, err := tx.IncrBy(ctx, lines, int64(len(c.Batch.Events))); err != nil {
					return err
				}
			case stream.Deleted, stream.Reset:
				tx.Del(lines)
			case stream.CaughtUp:
				stop(enough)
			}
		}
		return nil
	})
	fmt.Println(errors.Is(err, enough))
	n, err := rdb.Get(ctx, store.Key("lines", "lines of "+order.Aggregate.String())).Result()
	fmt.Println(n, "lines", err)
	// Output:
	// true
	// 2 lines <nil>
}
