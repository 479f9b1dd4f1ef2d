//go:build postgres

package pgxstore_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
)

// postgres is the server of all tests.
type postgres struct {
	source string
	stop   func() error
}

var (
	server = sync.OnceValues(func() (postgres, error) {
		source, stop, err := dbtest.FindPostgres()
		return postgres{source, stop}, err
	})
	used    atomic.Bool
	schemas atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if used.Load() {
		if s, err := server(); err == nil && s.stop != nil {
			if err := s.stop(); err != nil {
				fmt.Fprintln(os.Stderr, "stopping PostgreSQL:", err)
			}
		}
	}
	if code == 0 {
		// Goroutines that end in their own time, such as connections to a server, are waited for.
		err := goleak.Find()
		for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// schema makes an empty schema and returns what opens pools in it, with a dialler if one
// is named.
func schema(t testing.TB, dial ...pgconn.DialFunc) func() *pgxpool.Pool {
	t.Helper()
	used.Store(true)
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("celeriant_pgx_%d_%d", os.Getpid(), schemas.Add(1))
	exec := func(statement string) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		c, err := pgx.Connect(ctx, s.source)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(ctx)
		if _, err := c.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("CREATE SCHEMA " + name)
	t.Cleanup(func() { exec("DROP SCHEMA " + name + " CASCADE") })
	return func() *pgxpool.Pool {
		config, err := pgxpool.ParseConfig(s.source)
		if err != nil {
			t.Fatal(err)
		}
		config.ConnConfig.RuntimeParams["search_path"] = name
		config.MaxConns = 6
		for _, d := range dial {
			config.ConnConfig.DialFunc = d
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		return pool
	}
}

// exampleDatabase is a pool in an empty schema with the table of the example, and what drops both.
func exampleDatabase(ctx context.Context) (*pgxpool.Pool, func(), error) {
	used.Store(true)
	s, err := server()
	if err != nil {
		return nil, nil, err
	}
	config, err := pgxpool.ParseConfig(s.source)
	if err != nil {
		return nil, nil, err
	}
	name := fmt.Sprintf("celeriant_pgx_%d_%d", os.Getpid(), schemas.Add(1))
	config.ConnConfig.RuntimeParams["search_path"] = name
	db, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	drop := func() {
		if _, err := db.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			fmt.Println(err) // no output of the example, which so fails
		}
		db.Close()
	}
	if _, err := db.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		db.Close()
		return nil, nil, err
	}
	if _, err := db.Exec(ctx, "CREATE TABLE lines (id TEXT, version BIGINT, seq BIGINT, line TEXT)"); err != nil {
		drop()
		return nil, nil, err
	}
	return db, drop, nil
}

func open(t testing.TB, pool *pgxpool.Pool) *pgxstore.Store {
	t.Helper()
	s, err := pgxstore.Open(t.Context(), pool, pgxstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

type transaction struct {
	store *pgxstore.Store
	tx    pgx.Tx
}

func (t transaction) Save(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	return t.store.SaveTx(ctx, t.tx, o, entries)
}

func (t transaction) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	return t.store.ApplyTx(ctx, t.tx, name, m)
}

func (t transaction) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return t.store.LoadTx(ctx, t.tx, name, keys)
}

func (t transaction) Commit() error { return t.tx.Commit(context.Background()) }

func (t transaction) Rollback() error { return t.tx.Rollback(context.Background()) }

// fixture returns what the conformance suite needs.
func fixture(t testing.TB) checkpointtest.Fixture { return fixtureOver(t) }

// fixtureOver does likewise over connections of a dialler, if one is named.
func fixtureOver(t testing.TB, dial ...pgconn.DialFunc) checkpointtest.Fixture {
	pools, connect := map[checkpoint.Store]*pgxpool.Pool{}, schema(t, dial...)
	return checkpointtest.Fixture{
		Durable:  true,
		Shared:   true,
		Records:  true,
		Notifies: true,
		Open: func(context.Context) (checkpoint.Store, error) {
			pool := connect()
			s := open(t, pool)
			pools[s] = pool
			return s, nil
		},
		Begin: func(ctx context.Context, s checkpoint.Store) (checkpointtest.Tx, error) {
			tx, err := pools[s].Begin(ctx)
			return transaction{s.(*pgxstore.Store), tx}, err
		},
		Transactor: func(ctx context.Context, s checkpoint.Store) (checkpointtest.Transactor, error) {
			return newCounted(ctx, s, pools[s])
		},
	}
}

func TestConforms(t *testing.T) { checkpointtest.Run(t, fixture) }

func BenchmarkStore(b *testing.B) { checkpointtest.Benchmark(b, fixture) }
