package sqlcore

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// format is the version of the tables. Changing them means a new number, and a
// way from the old one to the new.
const format = 2

var sqliteTables = []string{
	`CREATE TABLE IF NOT EXISTS {format} (
		one     INTEGER PRIMARY KEY CHECK (one = 1),
		version INTEGER NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS {subscriptions} (
		id    INTEGER PRIMARY KEY,
		name  TEXT NOT NULL UNIQUE,
		epoch INTEGER NOT NULL,
		scope TEXT,
		token BLOB
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
	sqliteRecords,
}

const sqliteRecords = `CREATE TABLE IF NOT EXISTS {records} (
		subscription INTEGER NOT NULL,
		record_key   TEXT NOT NULL,
		record_value TEXT NOT NULL,
		PRIMARY KEY (subscription, record_key)
	) WITHOUT ROWID`

// postgresLock serialises those who create: PostgreSQL's IF NOT EXISTS fails
// when two do it at once. Its key is this package's own.
const postgresLock = `SELECT pg_advisory_xact_lock(7161689503271412)`

var postgresTables = []string{
	postgresLock,
	`CREATE TABLE IF NOT EXISTS {format} (
		one     INTEGER PRIMARY KEY CHECK (one = 1),
		version BIGINT NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS {subscriptions} (
		id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		name  TEXT NOT NULL UNIQUE,
		epoch BIGINT NOT NULL,
		scope TEXT,
		token BYTEA
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
	postgresRecords,
}

const postgresRecords = `CREATE TABLE IF NOT EXISTS {records} (
		subscription BIGINT NOT NULL,
		record_key   TEXT COLLATE "C" NOT NULL,
		record_value TEXT NOT NULL,
		PRIMARY KEY (subscription, record_key)
	)`

var mysqlTables = []string{
	`CREATE TABLE IF NOT EXISTS {format} (
		one     INTEGER PRIMARY KEY,
		version BIGINT NOT NULL
	) ENGINE = InnoDB`,
	`CREATE TABLE IF NOT EXISTS {subscriptions} (
		id    BIGINT AUTO_INCREMENT PRIMARY KEY,
		name  VARBINARY(255) NOT NULL UNIQUE,
		epoch BIGINT NOT NULL,
		scope MEDIUMTEXT CHARACTER SET utf8mb4,
		token BINARY(16)
	) ENGINE = InnoDB`,
	`CREATE TABLE IF NOT EXISTS {cursors} (
		subscription     BIGINT NOT NULL,
		org_id           BINARY(16) NOT NULL,
		type_id          BINARY(16) NOT NULL,
		aggregate_id     BINARY(16) NOT NULL,
		life             BIGINT NOT NULL,
		version          BIGINT NOT NULL,
		deleted          BOOLEAN NOT NULL,
		server_timestamp BIGINT NOT NULL,
		event_seq        BIGINT NOT NULL,
		client_id        BINARY(16) NOT NULL,
		hash             BIGINT NOT NULL,
		PRIMARY KEY (subscription, org_id, type_id, aggregate_id)
	) ENGINE = InnoDB`,
	`CREATE TABLE IF NOT EXISTS {records} (
		subscription BIGINT NOT NULL,
		record_key   VARBINARY(320) NOT NULL,
		record_value MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
		PRIMARY KEY (subscription, record_key)
	) ENGINE = InnoDB`,
}

// migrations lead from the format before to each format.
func (d Dialect) migrations() map[int64][]string {
	switch d {
	case SQLite:
		return map[int64][]string{2: {`ALTER TABLE {subscriptions} ADD COLUMN token BLOB`, sqliteRecords}}
	case Postgres:
		return map[int64][]string{2: {`ALTER TABLE {subscriptions} ADD COLUMN IF NOT EXISTS token BYTEA`, postgresRecords}}
	}
	return nil
}

func (d Dialect) tables() []string {
	switch d {
	case SQLite:
		return sqliteTables
	case Postgres:
		return postgresTables
	}
	return mysqlTables
}

// place finds the schema that the tables are in, or are to be created in. Its
// result does not depend on the search path of later connections.
func place(ctx context.Context, c Conn, d Dialect, o Options) (schema string, err error) {
	switch {
	case o.Schema != "":
		return o.Schema, nil
	case d == SQLite:
		return "main", nil
	case d == MySQL:
		var name *string
		if _, err := one(ctx, c, "SELECT DATABASE()", nil, &name); err != nil || name == nil {
			return "", fmt.Errorf("looking for the database in use, which the connection or Options.Schema must name: %w", err)
		}
		return *name, nil
	}
	var found, current *string
	_, err = one(ctx, c, `SELECT (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass('`+o.Prefix+`format')), current_schema()::text`, nil, &found, &current)
	switch {
	case err != nil:
		return "", fmt.Errorf("looking for the tables: %w", err)
	case found != nil:
		return *found, nil
	case current != nil:
		return *current, nil
	}
	return "", fmt.Errorf("no schema of the search path exists; name one in Options.Schema")
}

// prepare creates the tables if they are missing, and checks their version. A
// look comes first: a database role that may not create can use tables that
// exist.
func (s *Store) prepare(ctx context.Context) error {
	var exists bool
	if _, err := one(ctx, s.db, s.text.exists, nil, &exists); err != nil {
		return fmt.Errorf("looking for the tables: %w", err)
	}
	var version int64
	var err error
	if exists {
		version, err = s.version(ctx, s.db)
	}
	if err == nil && version == 0 {
		// MySQL commits each table by itself: somebody may be between them.
		if err := s.create(ctx); err != nil {
			return fmt.Errorf("creating the tables: %w", err)
		}
		version, err = s.version(ctx, s.db)
	}
	if err == nil && version < format && s.dialect.migrations()[version+1] != nil {
		if err := s.migrate(ctx); err != nil {
			return fmt.Errorf("bringing the tables from format %d to %d, which may alter them: %w", version, format, err)
		}
		version, err = s.version(ctx, s.db)
	}
	if err != nil {
		return err
	}
	if version != format {
		return &checkpoint.VersionError{Where: s.where("format"), Found: uint64(version), Supported: format}
	}
	return nil
}

// version is 0 while there is none.
func (s *Store) version(ctx context.Context, c Conn) (version int64, err error) {
	if _, err := one(ctx, c, s.text.version, nil, &version); err != nil {
		return 0, fmt.Errorf("reading the version of the tables: %w", err)
	}
	return version, nil
}

func (s *Store) create(ctx context.Context) error {
	return s.db.InTx(ctx, func(c Conn) (bool, error) {
		for _, text := range s.text.create {
			if _, err := c.Exec(ctx, text); err != nil {
				return false, err
			}
		}
		_, err := c.Exec(ctx, s.text.announce, int64(format))
		return true, err
	})
}

// migrate takes the steps from the format that is there to this one. Stores of an
// earlier release that have the tables open go on with them.
func (s *Store) migrate(ctx context.Context) error {
	return s.db.InTx(ctx, func(c Conn) (bool, error) {
		if err := s.lockFormat(ctx, c); err != nil {
			return false, err
		}
		version, err := s.version(ctx, c)
		if err != nil || version >= format {
			return false, err
		}
		for v := version + 1; v <= format; v++ {
			for _, text := range s.dialect.migrations()[v] {
				if _, err := c.Exec(ctx, s.text.names.Replace(text)); err != nil {
					return false, err
				}
			}
		}
		_, err = c.Exec(ctx, s.text.reannounce, int64(format))
		return true, err
	})
}

// lockFormat keeps others from migrating at the same time.
func (s *Store) lockFormat(ctx context.Context, c Conn) error {
	text := postgresLock
	if s.dialect == SQLite {
		text = s.text.names.Replace("UPDATE {format} SET version = version")
	}
	_, err := c.Exec(ctx, text)
	return err
}

// where names one of the tables.
func (s *Store) where(table string) string {
	return fmt.Sprintf("%v table %s.%s%s", s.dialect, s.options.Schema, s.options.Prefix, table)
}
