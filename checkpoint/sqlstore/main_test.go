package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/celeriant/celeriant-go/msg"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	storefaults.ServeMember(runMember)
	code := m.Run()
	for _, d := range databases {
		d.stop()
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

// databases are what is tested; postgres_test.go adds another one.
var databases = []kind{{"SQLite", sqlite, func() {}}}

// kind is one kind of database: how to make a new one, and what to do once all
// tests have ended.
type kind struct {
	name string
	open func(testing.TB) database
	stop func()
}

// database is a new, empty database.
type database struct {
	dialect sqlstore.Dialect
	// driver and source are what sql.Open takes.
	driver, source string
}

// sqlite returns a database in a file.
func sqlite(t testing.TB) database {
	t.Helper()
	return database{sqlstore.SQLite, "sqlite", sqliteSource(filepath.Join(t.TempDir(), "app.db"), "FULL")}
}

func sqliteSource(path, synchronous string) string {
	return "file:" + path + "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)&_pragma=synchronous(" + synchronous + ")"
}

func (d database) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// store opens a store with the default options.
func (d database) store(t testing.TB, db *sql.DB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixture returns what the conformance suite needs. Every store it opens has
// connections of its own, as another process would.
func (d database) fixture(t testing.TB) checkpointtest.Fixture {
	dbs := map[checkpoint.Store]*sql.DB{}
	return checkpointtest.Fixture{
		Durable:  true,
		Shared:   true,
		Records:  true,
		Notifies: true,
		Open: func(context.Context) (checkpoint.Store, error) {
			db := d.open(t)
			s := d.store(t, db)
			dbs[s] = db
			return s, nil
		},
		Begin: func(ctx context.Context, s checkpoint.Store) (checkpointtest.Tx, error) {
			tx, err := dbs[s].BeginTx(ctx, nil)
			return transaction{s.(*sqlstore.Store), tx}, err
		},
		Transactor: func(ctx context.Context, s checkpoint.Store) (checkpointtest.Transactor, error) {
			return newCounted(ctx, s, dbs[s])
		},
	}
}

type transaction struct {
	store *sqlstore.Store
	*sql.Tx
}

func (t transaction) Save(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	return t.store.SaveTx(ctx, t.Tx, o, entries)
}

func (t transaction) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	return t.store.ApplyTx(ctx, t.Tx, name, m)
}

func (t transaction) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return t.store.LoadTx(ctx, t.Tx, name, keys)
}

// With -short SQLite does not wait for the disk, which no rule depends on.
func TestSQLiteConforms(t *testing.T) {
	t.Parallel()
	synchronous := "FULL"
	if testing.Short() {
		synchronous = "OFF"
	}
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
		return database{sqlstore.SQLite, "sqlite", sqliteSource(filepath.Join(t.TempDir(), "app.db"), synchronous)}.fixture(t)
	})
}

// The store's own transactions need neither a lock at their beginning nor WAL. With
// -short only the rules about the caller's transactions are tested again.
func TestSQLiteConformsAsItComes(t *testing.T) {
	t.Parallel()
	open := func(t testing.TB) checkpointtest.Fixture {
		source := "file:" + filepath.Join(t.TempDir(), "app.db") + "?_txlock=deferred&_pragma=busy_timeout(20000)&_pragma=synchronous(OFF)"
		return database{sqlstore.SQLite, "sqlite", source}.fixture(t)
	}
	if !testing.Short() {
		checkpointtest.Run(t, open)
		return
	}
	for _, rule := range checkpointtest.Rules() {
		if aboutTransactions(rule) {
			t.Run(rule.Name, func(t *testing.T) { rule.Check(t, open(t)) })
		}
	}
}

// aboutTransactions tells whether a rule applies only to stores that have transactions.
func aboutTransactions(rule checkpointtest.Rule) bool {
	store := checkpointtest.Fixture{Durable: true, Shared: true, Records: true, Notifies: true}
	return rule.Needs != nil && !rule.Needs(store)
}

func BenchmarkSQLite(b *testing.B) {
	checkpointtest.Benchmark(b, func(t testing.TB) checkpointtest.Fixture { return sqlite(t).fixture(t) })
}

// each runs a test on every database there is.
func each(t *testing.T, test func(t *testing.T, d database)) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { test(t, d.open(t)) })
	}
}
