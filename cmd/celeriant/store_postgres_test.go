//go:build postgres

package main_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/internal/dbtest"
)

func init() { morePlaces["postgres"] = postgresPlace }

var (
	postgresSource = sync.OnceValues(func() (string, error) {
		source, stop, err := dbtest.FindPostgres()
		if stop != nil {
			atEnd = append(atEnd, stop)
		}
		return source, err
	})
	postgresSchemas atomic.Int64
)

// postgresPlace makes a schema on the server of all tests.
func postgresPlace(t *testing.T) string {
	t.Helper()
	source, err := postgresSource()
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("celeriant_place_%d_%d", os.Getpid(), postgresSchemas.Add(1))
	executed(t, "pgx", source, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { executed(t, "pgx", source, "DROP SCHEMA "+schema+" CASCADE") })
	return "postgres:" + dbtest.WithParameter(source, "search_path", schema)
}
