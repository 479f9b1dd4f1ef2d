//go:build mariadb

package sqlstore_test

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/go-sql-driver/mysql"
)

// ownMariaDB starts a server of the test's own, with a database.
func ownMariaDB(t *testing.T, args ...string) (*dbtest.MariaDB, database) {
	t.Helper()
	m, err := dbtest.StartMariaDB(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	mariaExec(t, m, "CREATE DATABASE own")
	return m, database{sqlstore.MySQL, "mysql", m.Source + "own"}
}

// mariaOptions are what the documentation asks of users of the driver.
var mariaOptions = sqlstore.Options{Passing: func(err error) bool { return errors.Is(err, mysql.ErrInvalidConn) }}

// A server that crashes in the middle of transactions, twice.
func TestMariaDBIsKilled(t *testing.T) {
	t.Parallel()
	server, d := ownMariaDB(t)
	db := d.open(t)
	s, err := sqlstore.Open(t.Context(), db, d.dialect, mariaOptions)
	if err != nil {
		t.Fatal(err)
	}
	x, err := newCounted(t.Context(), s, db)
	if err != nil {
		t.Fatal(err)
	}
	crash := func() error { return errors.Join(server.Kill(), server.Start()) }
	storefaults.Crashes(t, s, x, crash, crash)
}
