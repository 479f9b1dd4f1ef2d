//go:build postgres

package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	_ "github.com/jackc/pgx/v5/stdlib"
)

func init() { databases = append(databases, kind{"PostgreSQL", postgres, stopPostgres}) }

// server is a PostgreSQL server that tests use, each in a schema of its own.
type server struct {
	source string
	// stop ends a server that the tests started, nil for one they were given.
	stop func() error
}

var (
	postgresServer = sync.OnceValues(func() (server, error) {
		source, stop, err := dbtest.FindPostgres()
		return server{source, stop}, err
	})
	postgresUsed atomic.Bool
	schemas      atomic.Int64
)

// postgres returns a new schema of the server.
func postgres(t testing.TB) database {
	t.Helper()
	postgresUsed.Store(true)
	s, err := postgresServer()
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("celeriant_test_%d_%d", os.Getpid(), schemas.Add(1))
	s.exec(t, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { s.exec(t, "DROP SCHEMA "+schema+" CASCADE") })
	return database{sqlstore.Postgres, "pgx", dbtest.WithParameter(s.source, "search_path", schema)}
}

func (s server) exec(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", s.source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// Not the test's context: it has ended when cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// stopPostgres ends the server if the tests started one.
func stopPostgres() {
	if !postgresUsed.Load() {
		return
	}
	if s, err := postgresServer(); err == nil && s.stop != nil {
		if err := s.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping PostgreSQL:", err)
		}
	}
}
