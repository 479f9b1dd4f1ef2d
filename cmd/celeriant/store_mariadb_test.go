//go:build mariadb

package main_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/internal/dbtest"
)

func init() { morePlaces["mysql"] = mariadbPlace }

var (
	mariaDB = sync.OnceValues(func() (*dbtest.MariaDB, error) {
		server, err := dbtest.StartMariaDB()
		if err == nil {
			atEnd = append(atEnd, server.Close)
		}
		return server, err
	})
	mariaDatabases atomic.Int64
)

// mariadbPlace makes a database on the server of all tests.
func mariadbPlace(t *testing.T) string {
	t.Helper()
	server, err := mariaDB()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("celeriant_place_%d", mariaDatabases.Add(1))
	executed(t, "mysql", server.Source, "CREATE DATABASE "+name)
	t.Cleanup(func() { executed(t, "mysql", server.Source, "DROP DATABASE "+name) })
	return "mysql:" + server.Source + name
}
