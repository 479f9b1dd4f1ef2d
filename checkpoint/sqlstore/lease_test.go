package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// runMember writes each batch into the ledger, until it is killed. The settings are
// dialect, driver and source, separated by line ends.
func runMember(ctx context.Context, m storefaults.Member) error {
	part := strings.Split(m.Settings, "\n")
	db, err := sql.Open(part[1], part[2])
	if err != nil {
		return err
	}
	dialect, insert := sqlstore.SQLite, "INSERT INTO ledger (aggregate, version, pid) VALUES (?, ?, ?)"
	switch part[0] {
	case sqlstore.Postgres.String():
		dialect, insert = sqlstore.Postgres, "INSERT INTO ledger (aggregate, version, pid) VALUES ($1, $2, $3)"
	case sqlstore.MySQL.String():
		dialect = sqlstore.MySQL
	}
	store, err := sqlstore.Open(ctx, db, dialect, sqlstore.Options{Idle: storefaults.MemberTTL / 2})
	if err != nil {
		return err
	}
	ledger, err := m.Source(store)
	if err != nil {
		return err
	}
	return operators.Project(ctx, ledger, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
		for _, b := range storefaults.Batches(changes...) {
			if _, err := tx.ExecContext(ctx, insert, int64(b.Aggregate), int64(b.Version), os.Getpid()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Every batch takes effect exactly once, while processes that share a projection die.
//
//covers:g17
func TestLeasesOfProcessesThatDie(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		mustExec(t, db, "CREATE TABLE ledger (aggregate BIGINT, version BIGINT, pid BIGINT)")
		rounds := 4
		if testing.Short() {
			rounds = 1
		}
		storefaults.Group{
			Settings: fmt.Sprintf("%v\n%s\n%s", d.dialect, d.driver, d.source),
			Read: func(ctx context.Context) (a storefaults.Applied, err error) {
				err = db.QueryRowContext(ctx, `SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT aggregate, version FROM ledger) d),
					count(DISTINCT pid) FROM ledger`).Scan(&a.Entries, &a.Versions, &a.Processes)
				return a, err
			},
			LocksAll: d.dialect == sqlstore.SQLite,
			Rounds:   rounds,
		}.Run(t)
	})
}
