//go:build postgres

package pgxstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/jackc/pgx/v5"
)

// Rows are copied into a table together with the cursors behind them, each batch once.
func Example() {
	ctx := context.Background()
	db, drop, err := exampleDatabase(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	for _, line := range []string{"book", "pen"} {
		event := msg.Event{ClientSeq: 1, Major: 1, Value: []byte(line)}
		if _, err := client.Pool().WriteEvents(ctx, order, []msg.Event{event}, msg.IDFromUint64(7), pool.WriteOptions{}); err != nil {
			fmt.Println(err)
			return
		}
	}

	store, err := pgxstore.Open(ctx, db, pgxstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	enough := errors.New("enough")
	running, stop := context.WithCancelCause(ctx)
	orders := client.Watch(celeriant.Types(order.Org, order.Type),
		celeriant.WithName("order lines"), celeriant.WithCheckpoints(store))
	err = operators.ProjectIn(running, orders, store, func(ctx context.Context, tx pgx.Tx, changes []stream.Change) error {
		var rows [][]any
		for _, c := range changes {
			switch c.Kind {
			case stream.Batch:
				for _, e := range c.Batch.Events {
					rows = append(rows, []any{c.Key.Aggregate.String(), c.Batch.Version, e.EventSeq, string(e.Value)})
				}
			case stream.Deleted, stream.Reset: // what was copied is void, also what is not yet
				rows = slices.DeleteFunc(rows, func(row []any) bool { return row[0] == c.Key.Aggregate.String() })
				if _, err := tx.Exec(ctx, "DELETE FROM lines WHERE id = $1", c.Key.Aggregate.String()); err != nil {
					return operators.At(c, err)
				}
			case stream.CaughtUp:
				stop(enough)
			}
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"lines"}, []string{"id", "version", "seq", "line"}, pgx.CopyFromRows(rows))
		return err
	})
	fmt.Println(errors.Is(err, enough))
	var lines []string
	err = db.QueryRow(ctx, "SELECT array_agg(line ORDER BY version, seq) FROM lines").Scan(&lines)
	fmt.Println(lines, err)
	// Output:
	// true
	// [book pen] <nil>
}
