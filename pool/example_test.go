package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// exampleKey names the aggregate of the examples.
var exampleKey = msg.Key{
	Org:       msg.MustParseID("6f1d7c52-0000-4000-8000-000000000001"),
	Type:      msg.MustParseID("6f1d7c52-0000-4000-8000-000000000002"),
	Aggregate: msg.MustParseID("6f1d7c52-0000-4000-8000-000000000003"),
}

// A conditional write, the conflict of a second one, and reading it all back.
func Example() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	ctx := context.Background()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)

	writer := msg.IDFromUint64(1)
	events := []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte("opened")}, {ClientSeq: 2, Major: 2, Value: []byte("renamed")}}
	guard := pool.WriteOptions{ExpectedVersion: msg.Some[uint64](0)}
	version, err := p.WriteEvents(ctx, exampleKey, events, writer, guard)
	fmt.Println("version", version, err)

	_, err = p.WriteEvents(ctx, exampleKey, events, writer, guard)
	fmt.Println("conflict:", errors.Is(err, msg.ErrConflict), "- may have been applied:", msg.Ambiguous(err))

	for batch, err := range p.ReadAll(ctx, exampleKey, msg.ReadFilters{}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, event := range batch.Events {
			fmt.Printf("%d/%d %s\n", batch.Version, event.EventSeq, event.Value)
		}
	}
	// Output:
	// version 1 <nil>
	// conflict: true - may have been applied: false
	// 1/1 opened
	// 1/2 renamed
}

// Totals of a long aggregate, of which nothing is kept but what is cloned.
func ExamplePool_ReadEach() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	ctx := context.Background()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	for seq := range uint64(3) {
		event := msg.Event{ClientSeq: seq + 1, Major: 1, Value: []byte("a deposit")}
		if _, err := p.WriteEvents(ctx, exampleKey, []msg.Event{event}, msg.IDFromUint64(1), pool.WriteOptions{}); err != nil {
			log.Fatal(err)
		}
	}

	bytes := 0
	var first msg.Batch
	for batch, err := range p.ReadEach(ctx, exampleKey, msg.ReadFilters{}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, event := range batch.Events {
			bytes += len(event.Value)
		}
		if batch.Version == 1 {
			first = batch.Clone()
		}
	}
	fmt.Printf("%d bytes, the first event is %q\n", bytes, first.Events[0].Value)
	// Output:
	// 27 bytes, the first event is "a deposit"
}

// A watch tells what changed, not what it became; reads tell that.
func ExamplePool_Watch() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	ctx := context.Background()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)

	watch, err := p.Watch(ctx, &msg.WatchRequest{Shard: msg.Some[uint64](0), Operations: []msg.Operation{msg.OpWrite}})
	if err != nil {
		log.Fatal(err)
	}
	defer watch.Close()

	if _, err := p.WriteEvents(ctx, exampleKey, []msg.Event{{Major: 1}}, msg.IDFromUint64(1), pool.WriteOptions{}); err != nil {
		log.Fatal(err)
	}
	frame, err := watch.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range frame {
		fmt.Println(n.Operation, n.Key == exampleKey, n.From, n.To)
	}
	// Output: write true 1 1
}

// Lists visit all shards; an aggregate appears once.
func ExamplePool_ListAggregates() {
	node, err := celerianttest.Start(celerianttest.Options{Shards: 4})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	ctx := context.Background()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)

	for n := range uint64(20) {
		key := exampleKey
		key.Aggregate = msg.IDFromUint64(n)
		if _, err := p.WriteEvents(ctx, key, []msg.Event{{Major: 1}}, msg.IDFromUint64(1), pool.WriteOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	count := 0
	for _, err := range p.ListAggregates(ctx, pool.ListAggregatesOptions{Org: msg.Some(exampleKey.Org)}) {
		if err != nil {
			log.Fatal(err)
		}
		count++
	}
	fmt.Println(count, "aggregates")
	// Output: 20 aggregates
}

// Two nodes of which one leads: writes find it, and a read of what was written
// is never older, even at a follower.
func ExamplePool_ReadMin() {
	pair, err := celerianttest.StartPair(celerianttest.PairOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer pair.Close()

	ctx := context.Background()
	p, err := pool.New(pool.Options{Address: pair.A().Addr(), SeedAddresses: []string{pair.B().Addr()}, RouteReadsToFollowers: true})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)

	version, err := p.WriteEvents(ctx, exampleKey, []msg.Event{{Major: 1, Value: []byte("opened")}}, msg.IDFromUint64(1), pool.WriteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	page, err := p.ReadMin(ctx, &msg.ReadRequest{Key: exampleKey}, version)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(page.Batches), "batch")
	// Output: 1 batch
}

// One connection without a pool.
func ExampleConnect() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	ctx := context.Background()
	c, err := pool.Connect(ctx, pool.Options{Address: node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	shards, err := c.Shards(ctx)
	fmt.Println(shards, err)
	// Output: 1 <nil>
}
