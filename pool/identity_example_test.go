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
