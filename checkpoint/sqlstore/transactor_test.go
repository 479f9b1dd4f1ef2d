package sqlstore_test

import (
	"context"
	"database/sql"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
)

// counted is a store whose effects are rows.
type counted struct {
	*sqlstore.Store
	db *sql.DB
}

func newCounted(ctx context.Context, s checkpoint.Store, db *sql.DB) (checkpointtest.Transactor, error) {
	_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS counted_effects (n INTEGER NOT NULL)")
	return counted{s.(*sqlstore.Store), db}, err
}

func (c counted) Transact(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry, apply func(context.Context, func() error) error) error {
	return c.Store.Transact(ctx, o, entries, func(ctx context.Context, tx *sql.Tx) error {
		return apply(ctx, func() error {
			_, err := tx.ExecContext(ctx, "INSERT INTO counted_effects VALUES (1)")
			return err
		})
	})
}

func (c counted) Effects(ctx context.Context) (n int, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM counted_effects").Scan(&n)
	return n, err
}
