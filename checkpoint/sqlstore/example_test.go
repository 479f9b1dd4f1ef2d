package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
	_ "modernc.org/sqlite"
)

// The row of an order and the cursor of its aggregate commit together. Handing
// the same batch over again, as happens after a crash, is noticed.
func ExampleStore_SaveTx() {
	dir, err := os.MkdirTemp("", "sqlstore")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "app.db")+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	ctx := context.Background()
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "order table", Scope: "type orders"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id TEXT PRIMARY KEY, events INTEGER NOT NULL)"); err != nil {
		log.Fatal(err)
	}

	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	project := func(batch *msg.Batch) (applied bool, err error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return false, err
		}
		defer tx.Rollback()
		cursors, err := store.LoadTx(ctx, tx, owner.Name, []msg.Key{key})
		if err != nil || cursors[0].Version >= batch.Version {
			return false, err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO orders VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET events = events + excluded.events",
			key.Aggregate.String(), len(batch.Events))
		if err != nil {
			return false, err
		}
		cursor := checkpoint.Cursor{Version: batch.Version, Anchor: checkpoint.AnchorOf(batch)}
		if err := store.SaveTx(ctx, tx, owner, []checkpoint.Entry{{Key: key, Cursor: cursor}}); err != nil {
			return false, err
		}
		return true, tx.Commit()
	}
	for _, version := range []uint64{1, 2, 2, 3} {
		applied, err := project(&msg.Batch{Version: version, Events: make([]msg.Event, 2)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("version %d applied: %v\n", version, applied)
	}
	var events int
	if err := db.QueryRowContext(ctx, "SELECT events FROM orders").Scan(&events); err != nil {
		log.Fatal(err)
	}
	fmt.Println(events, "events")
	// Output:
	// version 1 applied: true
	// version 2 applied: true
	// version 2 applied: false
	// version 3 applied: true
	// 6 events
}
