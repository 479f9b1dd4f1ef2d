package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// format is the version of the tables. Changing them means a new number, and a
// way from the old one to the new.
const format = 1

var sqliteTables = []string{
	`CREATE TABLE IF NOT EXISTS {format} (
		one     INTEGER PRIMARY KEY CHECK (one = 1),
		version INTEGER NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS {subscriptions} (
		id    INTEGER PRIMARY KEY,
		name  TEXT NOT NULL UNIQUE,
		epoch INTEGER NOT NULL,
		scope TEXT
	)`,
	`CREATE TABLE IF NOT EXISTS {cursors} (
		subscription     INTEGER NOT NULL,
		org_id           BLOB NOT NULL,
		type_id          BLOB NOT NULL,
		aggregate_id     BLOB NOT NULL,
		life             INTEGER NOT NULL,
		version          INTEGER NOT NULL,
		deleted          BOOLEAN NOT NULL,
		server_timestamp INTEGER NOT NULL,
		event_seq        INTEGER NOT NULL,
		client_id        BLOB NOT NULL,
		hash             INTEGER NOT NULL,
		PRIMARY KEY (subscription, org_id, type_id, aggregate_id)
	) WITHOUT ROWID`,
}

// The first statement serialises those who create: PostgreSQL's IF NOT EXISTS
// fails when two do it at once. Its key is this package's own.
var postgresTables = []string{
	`SELECT pg_advisory_xact_lock(7161689503271412)`,
	`CREATE TABLE IF NOT EXISTS {format} (
		one     INTEGER PRIMARY KEY CHECK (one = 1),
		version BIGINT NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS {subscriptions} (
		id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		name  TEXT NOT NULL UNIQUE,
		epoch BIGINT NOT NULL,
		scope TEXT
	)`,
	`CREATE TABLE IF NOT EXISTS {cursors} (
		subscription     BIGINT NOT NULL,
		org_id           BYTEA NOT NULL,
		type_id          BYTEA NOT NULL,
		aggregate_id     BYTEA NOT NULL,
		life             BIGINT NOT NULL,
		version          BIGINT NOT NULL,
		deleted          BOOLEAN NOT NULL,
		server_timestamp BIGINT NOT NULL,
		event_seq        BIGINT NOT NULL,
		client_id        BYTEA NOT NULL,
		hash             BIGINT NOT NULL,
		PRIMARY KEY (subscription, org_id, type_id, aggregate_id)
	)`,
}

// prepare creates the tables if they are missing and checks their version. It
// looks first: a database role that may not create can use tables that exist.
func (s *Store) prepare(ctx context.Context) error {
	var exists bool
	if err := s.db.QueryRowContext(ctx, s.text.exists).Scan(&exists); err != nil {
		return fmt.Errorf("looking for the tables: %w", err)
	}
	if !exists {
		if err := s.create(ctx); err != nil {
			return fmt.Errorf("creating the tables: %w", err)
		}
	}
	var version int64
	if err := s.db.QueryRowContext(ctx, s.text.version).Scan(&version); err != nil {
		return fmt.Errorf("reading the version of the tables: %w", err)
	}
	if version != format {
		return &checkpoint.VersionError{Where: s.where("format"), Found: uint64(version), Supported: format}
	}
	return nil
}

func (s *Store) create(ctx context.Context) error {
	return s.inTx(ctx, func(tx *sql.Tx) (bool, error) {
		for _, text := range s.text.create {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return false, err
			}
		}
		_, err := tx.ExecContext(ctx, s.text.announce, format)
		return true, err
	})
}

// where names one of the tables.
func (s *Store) where(table string) string {
	return fmt.Sprintf("%v table %s%s", s.dialect, s.prefix, table)
}
