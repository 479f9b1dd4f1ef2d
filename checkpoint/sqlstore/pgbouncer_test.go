//go:build pgbouncer && postgres

package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
)

// The suite behind PgBouncer in transaction mode: each transaction has another session,
// and nothing is prepared by name.
func TestPgBouncerConforms(t *testing.T) {
	postgresUsed.Store(true)
	server, err := postgresServer()
	if err != nil {
		t.Fatal(err)
	}
	pooled, stop, err := dbtest.StartPgBouncer(server.source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	source := dbtest.WithParameter(pooled, "default_query_exec_mode", "exec")
	number := 0
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
		number++
		schema := fmt.Sprintf("celeriant_bouncer_%d", number)
		server.exec(t, "CREATE SCHEMA "+schema)
		t.Cleanup(func() { server.exec(t, "DROP SCHEMA "+schema+" CASCADE") })
		d := database{sqlstore.Postgres, "pgx", source}
		f := d.fixture(t)
		dbs := map[checkpoint.Store]*sql.DB{}
		f.Open = func(ctx context.Context) (checkpoint.Store, error) {
			db := d.open(t)
			s, err := sqlstore.Open(ctx, db, d.dialect, sqlstore.Options{Schema: schema})
			dbs[s] = db
			return s, err
		}
		f.Begin = func(ctx context.Context, s checkpoint.Store) (checkpointtest.Tx, error) {
			tx, err := dbs[s].BeginTx(ctx, nil)
			return transaction{s.(*sqlstore.Store), tx}, err
		}
		f.Transactor = nil // its table is in no schema of its own
		return f
	})
}
