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

// A page that shows the present follows what happens from now on, however much there
// was before: it begins without listing or reading anything.
func ExampleLiveOnly() {
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
		if _, err := p.WriteEvents(ctx, order, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(text)}}, msg.IDFromUint64(9), pool.WriteOptions{}); err != nil {
			fmt.Println(err)
		}
	}
	write("placed")

	s, err := stream.Open(ctx, stream.FromPool(p), stream.Types(order.Org, order.Type), stream.Options{Start: stream.LiveOnly})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close(ctx) }()
	for c, err := range s.All(ctx) {
		switch {
		case err != nil:
			fmt.Println(err)
			return
		case c.Kind == stream.CaughtUp:
			write("paid")
		case c.Kind == stream.Batch:
			fmt.Printf("version %d: %s\n", c.Batch.Version, c.Batch.Events[0].Value)
			return
		}
	}
	// Output: version 2: paid
}

// A client that keeps cursors itself, here as text, goes on where it was.
func ExampleOptions_cursors() {
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
	for _, text := range []string{"placed", "paid"} {
		if _, err := p.WriteEvents(ctx, order, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(text)}}, msg.IDFromUint64(9), pool.WriteOptions{}); err != nil {
			fmt.Println(err)
			return
		}
	}

	first := func(cursors map[msg.Key]checkpoint.Cursor) (c stream.Change) {
		s, err := stream.Open(ctx, stream.FromPool(p), stream.Aggregates(order), stream.Options{Cursors: cursors})
		if err != nil {
			fmt.Println(err)
			return c
		}
		defer func() { _ = s.Close(ctx) }()
		for c, err := range s.All(ctx) {
			if err != nil {
				fmt.Println(err)
			}
			return c
		}
		return c
	}
	placed := first(nil)
	text, _ := placed.Cursor.MarshalText() // kept by the client

	var cursor checkpoint.Cursor
	if err := cursor.UnmarshalText(text); err != nil {
		fmt.Println(err)
		return
	}
	next := first(map[msg.Key]checkpoint.Cursor{order: cursor})
	fmt.Println(next.Batch.Version, string(next.Batch.Events[0].Value))
	// Output: 2 paid
}
