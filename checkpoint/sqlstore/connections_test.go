//go:build postgres || mariadb

package sqlstore_test

import (
	"database/sql"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
)

// tooManyConnections takes all connections of a server: an error of the one beyond
// passes, a store goes on with what it has, and another one opens once there is room.
func tooManyConnections(t *testing.T, d database) {
	db := d.open(t)
	db.SetMaxOpenConns(1)
	s := d.store(t, db)
	owner := acquire(t, s)
	others := d.open(t)
	var taken []*sql.Conn
	var refusal error
	for refusal == nil {
		var c *sql.Conn
		if c, refusal = others.Conn(t.Context()); refusal == nil {
			taken = append(taken, c)
		}
		if len(taken) > 100 {
			t.Fatal("the server takes 100 connections")
		}
	}
	if !s.Passing(refusal) {
		t.Fatalf("a connection beyond the limit: %v, which does not pass", refusal)
	}
	late := d.open(t)
	if _, err := sqlstore.Open(t.Context(), late, d.dialect, sqlstore.Options{}); err == nil || !s.Passing(err) {
		t.Fatalf("opening a store beyond the limit: %v, want an error that passes", err)
	}
	if err := s.Save(t.Context(), owner, at(1)); err != nil {
		t.Fatalf("with the connection that is there: %v", err)
	}
	for _, c := range taken {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := others.Close(); err != nil {
		t.Fatal(err)
	}
	// The server notices in its own time that there is room.
	for {
		again, err := sqlstore.Open(t.Context(), late, d.dialect, sqlstore.Options{})
		if err == nil {
			if err := again.Save(t.Context(), owner, at(2)); err != nil {
				t.Fatal(err)
			}
			return
		}
		if !s.Passing(err) {
			t.Fatal(err)
		}
	}
}
