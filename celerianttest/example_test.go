package celerianttest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// In a test, celerianttest.Run(t, opts) starts the node and closes it at the end.
func Example() {
	node, err := celerianttest.Start(celerianttest.Options{Shards: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	ctx := context.Background()
	client, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	flight := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	departed := []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte("departed")}}
	version, err := client.WriteEvents(ctx, flight, departed, msg.IDFromUint64(7), pool.WriteOptions{})
	fmt.Println("version", version, err)
	for batch, err := range client.ReadAll(ctx, flight, msg.ReadFilters{From: 1}) {
		fmt.Println(batch.Version, string(batch.Events[0].Value), err)
	}
	// Output:
	// version 1 <nil>
	// 1 departed <nil>
}

// The answer to a write is lost: the client cannot know whether it was applied,
// but the same client sequence, sent again with idempotency enforced, tells.
func ExampleNode_Intercept() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	ctx := context.Background()
	client, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		if _, ok := f.Response.(*msg.WriteResponse); ok {
			return celerianttest.CutBefore()
		}
		return celerianttest.Pass()
	})
	order := msg.Key{Aggregate: msg.IDFromUint64(1)}
	paid := []msg.Event{{ClientSeq: 1, Major: 1}}
	once := pool.WriteOptions{EnforceIdempotency: true}
	_, err = client.WriteEvents(ctx, order, paid, msg.IDFromUint64(7), once)
	fmt.Println("ambiguous:", msg.Ambiguous(err))

	node.Intercept(nil)
	_, err = client.WriteEvents(ctx, order, paid, msg.IDFromUint64(7), once)
	fmt.Println("applied before:", errors.Is(err, msg.ErrDuplicate))
	// Output:
	// ambiguous: true
	// applied before: true
}

func ExampleParseFlags() {
	opts, err := celerianttest.ParseFlags([]string{"--num-shards", "4", "--client-port", "0", "--quirks"})
	fmt.Println(opts.Shards, opts.Address, opts.Quirks, err)
	_, err = celerianttest.ParseFlags([]string{"--s3-enabled"})
	fmt.Println(err)
	// Output:
	// 4 127.0.0.1:0 true <nil>
	// celerianttest: flag --s3-enabled of the reference server has no meaning here
}
