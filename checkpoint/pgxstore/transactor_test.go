//go:build postgres

package pgxstore_test

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// counted is a store whose effects are rows.
type counted struct {
	*pgxstore.Store
	pool *pgxpool.Pool
}

func newCounted(ctx context.Context, s checkpoint.Store, pool *pgxpool.Pool) (checkpointtest.Transactor, error) {
	_, err := pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS counted_effects (n INTEGER NOT NULL)")
	return counted{s.(*pgxstore.Store), pool}, err
}

func (c counted) Transact(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry, apply func(context.Context, func() error) error) error {
	return c.Store.Transact(ctx, o, entries, func(ctx context.Context, tx pgx.Tx) error {
		return apply(ctx, func() error {
			_, err := tx.Exec(ctx, "INSERT INTO counted_effects VALUES (1)")
			return err
		})
	})
}

func (c counted) Effects(ctx context.Context) (n int, err error) {
	err = c.pool.QueryRow(ctx, "SELECT COUNT(*) FROM counted_effects").Scan(&n)
	return n, err
}
