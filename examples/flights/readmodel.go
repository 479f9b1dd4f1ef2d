package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/platform"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// schemaVersion is the version of the tables below; applicationID marks the
// database as this program's.
const (
	schemaVersion = 1
	applicationID = 0x466c7431
)

// Everything is kept by aircraft, so that what was built of one can be taken
// back when its aggregate is deleted or reset. The totals are views.
const schema = `
CREATE TABLE departures (
	aircraft BLOB NOT NULL, airport TEXT NOT NULL, hour INTEGER NOT NULL, flights INTEGER NOT NULL,
	PRIMARY KEY (aircraft, airport, hour)
) WITHOUT ROWID;
CREATE TABLE late (
	aircraft BLOB NOT NULL, carrier TEXT NOT NULL, flights INTEGER NOT NULL,
	PRIMARY KEY (aircraft, carrier)
) WITHOUT ROWID;
CREATE TABLE cancelled (
	aircraft BLOB PRIMARY KEY, flights INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE positions (
	aircraft BLOB PRIMARY KEY, name TEXT NOT NULL, airport TEXT NOT NULL, flying INTEGER NOT NULL, day TEXT NOT NULL, time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE gaps (
	aircraft BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
);
-- One row for each applied batch. It has no unique constraint, so that a batch
-- that was applied twice would show.
CREATE TABLE ledger (
	aircraft BLOB NOT NULL, life INTEGER NOT NULL, version INTEGER NOT NULL, hash INTEGER NOT NULL
);
CREATE VIEW departures_by_hour AS SELECT airport, hour, sum(flights) AS flights FROM departures GROUP BY airport, hour;
CREATE VIEW late_by_carrier AS SELECT carrier, sum(flights) AS flights FROM late GROUP BY carrier;
`

// database is the read model, with the checkpoints beside it.
type database struct {
	*sql.DB
	path  string
	store *sqlstore.Store
}

// openDatabase opens or makes the read model in a folder.
func openDatabase(ctx context.Context, dir string, pragmas ...string) (*database, error) {
	path, err := filepath.Abs(filepath.Join(dir, "flights.db"))
	if err != nil {
		return nil, err
	}
	name, err := source(path, pragmas)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	d := &database{DB: db, path: path}
	if err := d.prepare(ctx); err != nil {
		return nil, errors.Join(explain(path, err), db.Close())
	}
	return d, nil
}

// source is the driver's name of the database: transactions lock at their
// beginning, readers and the writer do not disturb each other.
func source(path string, pragmas []string) (string, error) {
	query := url.Values{"_txlock": {"immediate"}}
	for _, p := range append([]string{"busy_timeout(2000)", "journal_mode(WAL)", "synchronous(NORMAL)"}, pragmas...) {
		query.Add("_pragma", p)
	}
	return platform.SQLiteURI(path, query)
}

func (d *database) prepare(ctx context.Context) error {
	if err := d.createTables(ctx); err != nil {
		return err
	}
	var err error
	d.store, err = sqlstore.Open(ctx, d.DB, sqlstore.SQLite, sqlstore.Options{})
	return err
}

// createTables makes the tables in a new database and refuses one that is not
// of this version.
func (d *database) createTables(ctx context.Context) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version, application, tables int
	for pragma, value := range map[string]*int{
		"PRAGMA user_version": &version, "PRAGMA application_id": &application, "SELECT count(*) FROM sqlite_master": &tables,
	} {
		if err := tx.QueryRowContext(ctx, pragma).Scan(value); err != nil {
			return err
		}
	}
	switch {
	case tables == 0 && version == 0:
	case application != applicationID:
		return errors.New("it is a database of another program")
	case version != schemaVersion:
		return fmt.Errorf("its schema has version %d, this program knows version %d: use another --dir", version, schemaVersion)
	default:
		return nil
	}
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", schemaVersion, applicationID)); err != nil {
		return err
	}
	return tx.Commit()
}

// explain names the database, and what can be done about frequent errors.
func explain(path string, err error) error {
	hint := ""
	var sqlite interface{ Code() int }
	if errors.As(err, &sqlite) {
		switch sqlite.Code() & 0xff {
		case 5, 6:
			hint = " (another program holds it)"
		case 13:
			hint = " (make room and run it again: nothing is half applied)"
		}
	}
	if strings.Contains(err.Error(), path) {
		return fmt.Errorf("%w%s", err, hint)
	}
	return fmt.Errorf("database %s: %w%s", path, err, hint)
}

func (d *database) Close() error {
	return errors.Join(d.store.Close(), d.DB.Close())
}
