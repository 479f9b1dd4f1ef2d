//lint:file-ignore SA4006 documents show these fragments, which leave the checks of errors to the reader

package guides

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Fragments of the documents, which are compiled and not run.
var _ = []any{forms, where, alone, verdicts, waiting, throughGateway, scaling, connect, follow, consume}

func forms(ctx context.Context, orders *celeriant.Observable, notify func(context.Context, celeriant.Change) error,
	decode rxgo.Func, shipped rxgo.Predicate, next rxgo.NextFunc, fail rxgo.ErrFunc, done rxgo.CompletedFunc) (err error) {
	// Plain Go. A change counts as handled when the loop body has returned for it.
	for change, err := range orders.All(ctx) {
		if err != nil {
			return err
		}
		fmt.Println(&change)
	}

	// A handler; positions are stored behind it: at least once.
	err = orders.Run(ctx, func(ctx context.Context, c celeriant.Change) error {
		return notify(ctx, c)
	})

	// orders is an rxgo.Observable: cold, each observer has its own subscription.
	orders.Map(decode).Filter(shipped).ForEach(next, fail, done)
	return err
}

func where(ctx context.Context, client *celeriant.Client, order, invoice, archive msg.ID, key msg.Key) error {
	orders := client.Watch(
		celeriant.Union(celeriant.Types(org, order, invoice), celeriant.Orgs(archive)),
		celeriant.WithStart(stream.FromNow), // default: from the beginning; a stored position wins
		celeriant.WithFollowers(),           // watch and read at a follower that keeps up
	)

	sub, err := orders.Subscribe(ctx)
	err = sub.Add(ctx, celeriant.Aggregates(key))  // the scope of a running subscription changes,
	err = sub.Remove(ctx, celeriant.Orgs(archive)) // nothing of what stays is missed
	fmt.Printf("%+v\n", sub.Stats())               // state, lag, what is unhandled, what is retried
	return err
}

func alone(ctx context.Context, key msg.Key, events []msg.Event, clientID msg.ID) error {
	p, err := pool.New(pool.Options{Address: "10.0.0.1:10000", SeedAddresses: []string{"10.0.0.2:10000"}})
	version, err := p.WriteEvents(ctx, key, events, clientID, pool.WriteOptions{ExpectedVersion: msg.Some(uint64(4))})
	for batch, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) { // or ReadEach, into memory used again
		fmt.Println(batch.Version, err)
	}

	conn, err := pool.Connect(ctx, pool.Options{Address: "10.0.0.1:10000"}) // one connection, the same methods
	details, err := conn.Details(ctx, key)
	_, _ = version, details
	return err
}

// RefusedError is a service that will never take it.
type RefusedError struct{ error }

func verdicts(ctx context.Context, orders operators.Source, ship operators.Handler, limiter operators.Limiter) error {
	classify := func(f operators.Failure) operators.Verdict {
		var refused *RefusedError // the service will never take it
		if errors.As(f.Err, &refused) {
			return operators.Park
		}
		return operators.Retry
	}
	err := operators.ForEach(ctx, orders, operators.Chain(ship, operators.Timeout(10*time.Second), operators.Limit(limiter)),
		operators.WithWorkers(64), operators.WithVerdicts(classify))
	return err
}

func waiting(ctx context.Context, client *celeriant.Client, store checkpoint.Store, key msg.Key, events []msg.Event) error {
	version, err := client.WriteEvents(ctx, key, events, me)
	err = client.Await(ctx, store, "orders", key, version)
	return err
}

func scaling(ctx context.Context, client *celeriant.Client, scope celeriant.Scope, store checkpoint.Store, handle operators.Handler) error {
	orders := client.Watch(scope,
		celeriant.WithName("orders"), celeriant.WithCheckpoints(store),
		celeriant.WithLeases())
	err := orders.Run(ctx, handle)
	return err
}
