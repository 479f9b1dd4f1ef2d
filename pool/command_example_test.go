package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A command handler: it takes goods out of a stock while there are any. The
// answer to the first write is lost; the writer finds out that it was applied
// and does not take twice.
func ExampleExecute() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	var lost atomic.Bool
	node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		if _, ok := f.Response.(*msg.WriteResponse); ok && lost.CompareAndSwap(false, true) {
			return celerianttest.CutBefore()
		}
		return celerianttest.Pass()
	})

	ctx := context.Background()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	w, err := pool.NewWriter(p, pool.WriterOptions{ClientID: msg.IDFromUint64(1)})
	if err != nil {
		log.Fatal(err)
	}

	const taken = 1
	errEmpty := errors.New("out of stock")
	take := pool.Decision[int]{
		New:   func() int { return 2 }, // in stock
		Apply: func(stock int, batch msg.Batch) (int, error) { return stock - len(batch.Events), nil },
		Decide: func(stock int, _ uint64) ([]msg.Event, error) {
			if stock == 0 {
				return nil, errEmpty
			}
			return []msg.Event{{Major: taken}}, nil
		},
	}
	for id := range uint64(3) {
		out, err := pool.Execute(ctx, w, pool.Command{Key: exampleKey, ID: msg.IDFromUint64(100 + id)}, take)
		fmt.Println("version", out.Version, "found:", out.Before, "refused:", errors.Is(err, errEmpty))
	}
	// Output:
	// version 1 found: true refused: false
	// version 2 found: false refused: false
	// version 0 found: false refused: true
}

// A node that demands API keys, asked with credentials from a provider.
func ExampleIdentity() {
	secret := [pool.APIKeySize]byte{0: 42}
	node, err := celerianttest.Start(celerianttest.Options{
		APIKeys: celerianttest.APIKeys{PrimaryRO: celerianttest.HashAPIKey(secret)},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	ctx := context.Background()
	credentials := pool.Credentials{APIKey: pool.NewAPIKey(secret)}
	fmt.Println(credentials)
	p, err := pool.New(pool.Options{Address: node.Addr(), Identity: func(context.Context) (pool.Credentials, error) {
		return credentials, nil // or fetch them from a vault: each connection asks
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)

	_, err = p.WriteEvents(ctx, exampleKey, []msg.Event{{Major: 1}}, msg.IDFromUint64(1), pool.WriteOptions{})
	who, _ := p.Identity()
	fmt.Println("access:", who.Access, "- unauthorized:", errors.Is(err, msg.ErrUnauthorized))
	// Output:
	// Credentials(APIKey(redacted), no key pair)
	// access: read-only - unauthorized: true
}
