package operators_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

type orderPlaced struct{ Item string }

// orders is a source; a celeriant.Observable is one, too.
type orders struct{ pool *pool.Pool }

func (o orders) Open(ctx context.Context) (stream.Consumer, error) {
	return stream.Open(ctx, stream.FromPool(o.pool), stream.Types(org, typ), stream.Options{Name: "orders"})
}

// Handle typed events, at least once each.
func ExampleForEach() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	p, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	ctx := context.Background()
	placed := msg.Event{ClientSeq: 1, Major: 1, Value: []byte(`{"item":"book"}`)}
	if _, err := p.WriteEvents(ctx, keyOf(1), []msg.Event{placed}, clientID, pool.WriteOptions{}); err != nil {
		fmt.Println(err)
		return
	}

	enough := errors.New("enough")
	ctx, stop := context.WithCancelCause(ctx)
	registry := events.MustRegistry(events.JSON[orderPlaced](1, 0))
	err = operators.ForEach(ctx, orders{p}, func(_ context.Context, c stream.Change) error {
		if c.Kind == stream.CaughtUp {
			stop(enough)
			return nil
		}
		decoded, err := operators.DecodeChange(registry, c)
		if err != nil {
			return err
		}
		for _, e := range decoded {
			fmt.Printf("%T %+v\n", e.Value, e.Value)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// operators_test.orderPlaced {Item:book}
	// enough
}
