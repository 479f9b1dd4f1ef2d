package main

import (
	"context"
	"database/sql"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const name = "orders" // of the subscription; positions are stored under it

var org, orderType, writerID = msg.IDFromUint64(1), msg.IDFromUint64(2), msg.IDFromUint64(3)

// ItemAdded is the event: something was added to an order.
type ItemAdded struct {
	Item  string `json:"item"`
	Cents int64  `json:"cents"`
}

// orderEvents gives Go types the numbers of event types, for writing and for reading.
var orderEvents = events.MustRegistry(events.JSON[ItemAdded](1, 0))

const schema = "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, items INTEGER NOT NULL, cents INTEGER NOT NULL)"

// openDatabase opens SQLite as the checkpoint store needs it: transactions take their
// lock at their beginning, and readers disturb nobody.
func openDatabase(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", path+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err == nil {
		_, err = db.ExecContext(ctx, schema)
	}
	return db, err
}

// apply changes the table, inside the transaction that also stores the positions. If it
// fails, that transaction is rolled back and tried again.
func apply(ctx context.Context, tx *sql.Tx, changes []celeriant.Change) error {
	for _, c := range changes {
		if err := applyOne(ctx, tx, c); err != nil {
			return operators.At(c, err) // names the change that failed
		}
	}
	return nil
}

func applyOne(ctx context.Context, tx *sql.Tx, c celeriant.Change) error {
	id := c.Key.Aggregate.String()
	if c.Kind == celeriant.Deleted || c.Kind == celeriant.Reset {
		// What was built of this order is void. If it exists again, its events follow.
		_, err := tx.ExecContext(ctx, "DELETE FROM orders WHERE id = ?", id)
		return err
	}
	decoded, err := operators.DecodeChange(orderEvents, c) // nothing, if c is no batch
	if err != nil {
		return err
	}
	for _, e := range decoded {
		added, ok := e.Value.(ItemAdded)
		if !ok {
			continue // an event of a type that this program does not know
		}
		// Adding is right because each batch is applied exactly once.
		_, err := tx.ExecContext(ctx, `INSERT INTO orders VALUES (?, 1, ?)
			ON CONFLICT (id) DO UPDATE SET items = items + 1, cents = cents + excluded.cents`, id, added.Cents)
		if err != nil {
			return err
		}
	}
	return nil
}
