//go:build mariadb

package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/go-sql-driver/mysql"
)

func init() { databases = append(databases, kind{"MariaDB", mariadb, stopMariaDB}) }

var (
	mariaDB = sync.OnceValues(func() (*dbtest.MariaDB, error) { return dbtest.StartMariaDB() })

	mariaUsed   atomic.Bool
	mariaNumber atomic.Int64
)

// mariadb returns a new database of the server.
func mariadb(t testing.TB) database {
	t.Helper()
	mariaUsed.Store(true)
	s, err := mariaDB()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("celeriant_test_%d", mariaNumber.Add(1))
	mariaExec(t, s, "CREATE DATABASE "+name)
	t.Cleanup(func() { mariaExec(t, s, "DROP DATABASE "+name) })
	return database{sqlstore.MySQL, "mysql", s.Source + name}
}

func mariaExec(t testing.TB, s *dbtest.MariaDB, statement string) {
	t.Helper()
	db, err := sql.Open("mysql", s.Source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func stopMariaDB() {
	if !mariaUsed.Load() {
		return
	}
	if s, err := mariaDB(); err == nil {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping MariaDB:", err)
		}
	}
}

func TestMariaDBConforms(t *testing.T) {
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture { return mariadb(t).fixture(t) })
}

func BenchmarkMariaDB(b *testing.B) {
	checkpointtest.Benchmark(b, func(t testing.TB) checkpointtest.Fixture { return mariadb(t).fixture(t) })
}

// A transaction that began before another one saved does not overwrite what it
// cannot see.
func TestMariaDBSaverWithAnOldSnapshot(t *testing.T) {
	d := mariadb(t)
	db := d.open(t)
	s := d.store(t, db)
	owner := acquire(t, s)
	if err := s.Save(t.Context(), owner, at(1)); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := s.LoadTx(t.Context(), tx, "orders", []msg.Key{key}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), owner, at(9)); err != nil {
		t.Fatal(err)
	}
	var back *checkpoint.RegressionError
	if err := s.SaveTx(t.Context(), tx, owner, at(5)); !errors.As(err, &back) || back.Stored.Version != 9 {
		t.Fatalf("saving version 5 over an invisible 9: %v, want a *RegressionError", err)
	}
}

// Errors of a server that went away or refuses for now are temporary.
func TestMariaDBPasses(t *testing.T) {
	d := mariadb(t)
	db := d.open(t)
	s, err := sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{
		Passing: func(err error) bool { return errors.Is(err, mysql.ErrInvalidConn) },
	})
	if err != nil {
		t.Fatal(err)
	}
	owner := acquire(t, s)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var id int64
	if err := tx.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, fmt.Sprintf("KILL %d", id))
	if err := s.SaveTx(t.Context(), tx, owner, at(1)); err == nil || !s.Passing(err) {
		t.Errorf("a killed connection: %v, passes: %v", err, s.Passing(err))
	}
	mustExec(t, db, "SET GLOBAL read_only = 1")
	t.Cleanup(func() {
		server, _ := mariaDB()
		mariaExec(t, server, "SET GLOBAL read_only = 0")
	})
	if err := s.Save(t.Context(), owner, at(1)); err != nil && !s.Passing(err) { // root may write
		t.Errorf("a server that is read-only: %v does not pass", err)
	}
	if s.Passing(&mysql.MySQLError{Number: 1064}) || !s.Passing(&mysql.MySQLError{Number: 1290}) {
		t.Error("numbers are misjudged")
	}
}

// A process that stops in a transaction that holds a partition's fence loses it, and the
// next owner gets on. Every connection bounds that by itself, once.
func TestMariaDBIdleHolderIsEnded(t *testing.T) {
	d := mariadb(t)
	db := d.open(t)
	s, err := sqlstore.Open(t.Context(), db, d.dialect, sqlstore.Options{Idle: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	acquire(t, s)
	record := checkpoint.PartitionRecord{Format: 1, Epoch: 1, Token: checkpoint.NewToken()}
	value := []byte(fmt.Sprintf(`{"format":1,"epoch":1,"token":"%v"}`, record.Token))
	claim := checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: checkpoint.PartitionKey(3), Value: value, Any: true}}}
	if err := s.Apply(t.Context(), "orders", claim); err != nil {
		t.Fatal(err)
	}
	owner := checkpoint.Owner{Name: "orders", Epoch: 1, Token: record.Token, Leased: true, Partition: 3}
	for range 2 {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := s.SaveTx(t.Context(), tx, owner, at(1)); err != nil {
			t.Fatal(err)
		}
		// Only the end of that transaction lets this one through.
		if err := s.Apply(t.Context(), "orders", claim); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err == nil {
			t.Fatal("the transaction that was idle for longer than a second was committed")
		}
	}
}
