//go:build postgres || mariadb

package main_test

import (
	"database/sql"
	"testing"
)

// executed runs a statement on a connection of its own.
func executed(t *testing.T, driver, source, statement string) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
