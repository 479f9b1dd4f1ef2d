//go:build postgres

package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// ownPostgres starts a server of the test's own.
func ownPostgres(t *testing.T, args ...string) *dbtest.Postgres {
	t.Helper()
	p, err := dbtest.StartPostgres(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// A server that crashes in the middle of transactions, twice.
func TestPostgresIsKilled(t *testing.T) {
	t.Parallel()
	server := ownPostgres(t)
	d := database{sqlstore.Postgres, "pgx", server.Source}
	db := d.open(t)
	s := d.store(t, db)
	x, err := newCounted(t.Context(), s, db)
	if err != nil {
		t.Fatal(err)
	}
	crash := func() error { return errors.Join(server.Kill(), server.Start()) }
	storefaults.Crashes(t, s, x, crash, crash)
}

// A streaming standby that lacks the last writes is promoted, and the connections find it.
//
//covers:promoted
func TestPostgresStandbyLostWrites(t *testing.T) {
	t.Parallel()
	primary := ownPostgres(t)
	standby, err := primary.Standby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	source, err := dbtest.Either(primary, standby)
	if err != nil {
		t.Fatal(err)
	}
	d := database{sqlstore.Postgres, "pgx", source}
	db := d.open(t)
	s := d.store(t, db)
	x, err := newCounted(t.Context(), s, db)
	if err != nil {
		t.Fatal(err)
	}
	other := database{sqlstore.Postgres, "pgx", standby.Source}.open(t)
	storefaults.LostWrites(t, s, x, storefaults.Promotion{
		CaughtUp: func(ctx context.Context) error {
			var position string
			if err := db.QueryRowContext(ctx, "SELECT pg_current_wal_lsn()").Scan(&position); err != nil {
				return err
			}
			return until(ctx, other, "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", position)
		},
		CutOff: func(ctx context.Context) error {
			mustExec(t, other, "ALTER SYSTEM SET primary_conninfo = ''")
			mustExec(t, other, "SELECT pg_reload_conf()")
			return until(ctx, other, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")
		},
		Promote: func(ctx context.Context) error {
			if err := primary.Kill(); err != nil {
				return err
			}
			return until(ctx, other, "SELECT pg_promote(true, 60)")
		},
	})
}

// A server that has as many connections as it may refuses those beyond.
func TestPostgresHasTooManyConnections(t *testing.T) {
	t.Parallel()
	server := ownPostgres(t, "-c", "max_connections=6", "-c", "superuser_reserved_connections=0", "-c", "max_wal_senders=0")
	tooManyConnections(t, database{sqlstore.Postgres, "pgx", server.Source})
}

// until asks until the answer is yes.
func until(ctx context.Context, db *sql.DB, question string, args ...any) error {
	for {
		var yes bool
		if err := db.QueryRowContext(ctx, question, args...).Scan(&yes); err != nil || yes {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}
