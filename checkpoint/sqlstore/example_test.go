package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
	_ "modernc.org/sqlite"
)

// A table in the database of the cursors: the number of events of each order, each batch
// applied exactly once.
func Example() {
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
	ctx := context.Background()
	defer client.Close(ctx)
	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	for range 3 {
		events := []msg.Event{{ClientSeq: 1, Major: 1}, {ClientSeq: 2, Major: 1}}
		if _, err := client.Pool().WriteEvents(ctx, order, events, msg.IDFromUint64(7), pool.WriteOptions{}); err != nil {
			fmt.Println(err)
			return
		}
	}

	dir, err := os.MkdirTemp("", "sqlstore")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "app.db")+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id TEXT PRIMARY KEY, events INTEGER NOT NULL)"); err != nil {
		fmt.Println(err)
		return
	}
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	enough := errors.New("enough")
	running, stop := context.WithCancelCause(ctx)
	orders := client.Watch(celeriant.Types(order.Org, order.Type), celeriant.WithName("order table"), celeriant.WithCheckpoints(store))
	err = operators.Project(running, orders, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
		for _, c := range changes {
			var err error
			switch c.Kind {
			case stream.Batch:
				_, err = tx.ExecContext(ctx, "INSERT INTO orders VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET events = events + excluded.events",
					c.Key.Aggregate.String(), len(c.Batch.Events))
			case stream.Deleted, stream.Reset: // the row is void
				_, err = tx.ExecContext(ctx, "DELETE FROM orders WHERE id = ?", c.Key.Aggregate.String())
			case stream.CaughtUp:
				stop(enough)
			}
			if err != nil {
				return operators.At(c, err)
			}
		}
		return nil
	})
	fmt.Println(errors.Is(err, enough))
	var events int
	if err := db.QueryRowContext(ctx, "SELECT events FROM orders").Scan(&events); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(events, "events")
	// Output:
	// true
	// 6 events
}
