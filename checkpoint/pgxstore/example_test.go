package pgxstore_test

import (
	"context"
	"log"
	"slices"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Rows are copied into a table together with the cursors behind them, each batch once.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://app@localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	client, err := celeriant.Connect("localhost:10000")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	store, err := pgxstore.Open(ctx, pool, pgxstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	orders := client.Watch(celeriant.Types(msg.IDFromUint64(1), msg.IDFromUint64(2)),
		celeriant.WithName("order lines"), celeriant.WithCheckpoints(store))
	err = operators.ProjectIn(ctx, orders, store, func(ctx context.Context, tx pgx.Tx, changes []stream.Change) error {
		var rows [][]any
		for _, c := range changes {
			switch c.Kind {
			case stream.Batch:
				for _, e := range c.Batch.Events {
					rows = append(rows, []any{c.Key.Aggregate.String(), c.Batch.Version, e.EventSeq, e.Value})
				}
			case stream.Deleted, stream.Reset: // what was copied is void, also what is not yet
				rows = slices.DeleteFunc(rows, func(row []any) bool { return row[0] == c.Key.Aggregate.String() })
				if _, err := tx.Exec(ctx, "DELETE FROM lines WHERE id = $1", c.Key.Aggregate.String()); err != nil {
					return operators.At(c, err)
				}
			}
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"lines"}, []string{"id", "version", "seq", "line"}, pgx.CopyFromRows(rows))
		return err
	})
	log.Fatal(err)
}
