//go:build pgbouncer && postgres

package pgxstore_test

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The suite behind PgBouncer in transaction mode, without LISTEN.
func TestPgBouncerConforms(t *testing.T) {
	used.Store(true)
	postgres, err := server()
	if err != nil {
		t.Fatal(err)
	}
	pooled, stop, err := dbtest.StartPgBouncer(postgres.source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
		direct := schema(t)()
		name := direct.Config().ConnConfig.RuntimeParams["search_path"]
		pools := map[checkpoint.Store]*pgxpool.Pool{}
		return checkpointtest.Fixture{
			Durable: true, Shared: true, Records: true, Notifies: true,
			Open: func(ctx context.Context) (checkpoint.Store, error) {
				config, err := pgxpool.ParseConfig(pooled)
				if err != nil {
					return nil, err
				}
				config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
				config.MaxConns = 6
				pool, err := pgxpool.NewWithConfig(ctx, config)
				if err != nil {
					return nil, err
				}
				t.Cleanup(pool.Close)
				s, err := pgxstore.Open(ctx, pool, pgxstore.Options{Schema: name, NoListen: true})
				pools[s] = pool
				return s, err
			},
			Begin: func(ctx context.Context, s checkpoint.Store) (checkpointtest.Tx, error) {
				tx, err := pools[s].Begin(ctx)
				return transaction{s.(*pgxstore.Store), tx}, err
			},
		}
	})
}
