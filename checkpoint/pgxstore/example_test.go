package pgxstore_test

import (
	"context"
	"log"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Rows that are copied into a table and the cursor behind them commit together.
// operators.ProjectIn calls Transact like this for every slice of changes.
func ExampleStore_Transact() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://app@localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := pgxstore.Open(ctx, pool, pgxstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "order table", Scope: "type orders"})
	if err != nil {
		log.Fatal(err)
	}
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	next := checkpoint.Entry{Key: key, Cursor: checkpoint.Cursor{Version: 1}, Compare: true} // follows nothing
	err = store.Transact(ctx, owner, []checkpoint.Entry{next}, func(ctx context.Context, tx pgx.Tx) error {
		rows := pgx.CopyFromRows([][]any{{"order 3", 100}, {"order 3", 250}})
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"lines"}, []string{"name", "cents"}, rows)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}
