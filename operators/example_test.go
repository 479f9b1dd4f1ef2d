package operators_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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

// Several aggregates at once; what the service refuses is parked, everything else is
// tried again.
func ExampleForEach_verdicts() {
	errRefused := errors.New("422 refused")
	ship := func(ctx context.Context, c stream.Change) error { return nil }
	classify := func(f operators.Failure) operators.Verdict {
		if errors.Is(f.Err, errRefused) {
			return operators.Park
		}
		return operators.Retry
	}
	consume := func(ctx context.Context, orders operators.Source) error {
		return operators.ForEach(ctx, orders, operators.Chain(ship, operators.OnlyKinds(stream.Batch), operators.Timeout(10*time.Second)),
			operators.WithWorkers(64), operators.WithVerdicts(classify))
	}
	_ = consume
}

// Orders in a table, each batch exactly once: effects and cursors commit together.
func ExampleProject() {
	project := func(ctx context.Context, orders operators.Source, db *sql.DB) error {
		return operators.Project(ctx, orders, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
			for _, c := range changes {
				if c.Kind != stream.Batch {
					continue
				}
				_, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (?, ?)", c.Key.String(), c.Batch.Version)
				if err != nil {
					return operators.At(c, err)
				}
			}
			return nil
		})
	}
	_ = project
}
