package lease_test

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
)

// A definition is made once and then holds for every member.
func ExampleDeclare() {
	ctx, store := context.Background(), checkpoint.NewMemory()
	cluster := func(context.Context) (lease.Rule, error) {
		return lease.Rule{Known: true, Shards: 4, Routing: msg.RouteByAggregate}, nil
	}
	d, err := lease.Declare(ctx, store, "orders", lease.Declaration{Rule: cluster, Partitions: 16, Scope: "everything"})
	if err != nil {
		fmt.Println(err)
		return
	}
	key := msg.Key{Aggregate: msg.IDFromUint64(7)}
	fmt.Println(d.Count(), "partitions; shards of", d.Of(key), "are", d.Shards(d.Of(key), lease.Rule{Known: true, Shards: 4}))

	_, err = lease.Declare(ctx, store, "orders", lease.Declaration{Rule: cluster, Partitions: 32, Scope: "everything"})
	fmt.Println(err)
	// Output:
	// 16 partitions; shards of 13 are [3]
	// lease: subscription "orders" has partitions 16, a member wants 32: all members need the same, or one has to adopt or repartition
}
