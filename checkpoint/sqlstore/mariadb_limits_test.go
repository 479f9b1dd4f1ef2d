//go:build mariadb

package sqlstore_test

import (
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/go-sql-driver/mysql"
)

// withRights are the rules that between them use every right of a store.
var withRights = []string{
	"a mutation is applied whole", "a limit holds", "an exchange writes and reads", "deleting forgets the records",
	"partitions are fought for, the last owner stays",
}

// The core of the suite as a user that may do no more than the documentation says.
func TestMariaDBLeastPrivilege(t *testing.T) {
	server, err := mariaDB()
	if err != nil {
		t.Fatal(err)
	}
	mariaUsed.Store(true)
	mariaExec(t, server, "CREATE USER consumer IDENTIFIED BY 'secret'")
	defer mariaExec(t, server, "DROP USER consumer")
	open := func(t testing.TB) checkpointtest.Fixture {
		d := mariadb(t)
		config, err := mysql.ParseDSN(d.source)
		if err != nil {
			t.Fatal(err)
		}
		db := d.open(t)
		d.store(t, db)
		for table, granted := range map[string]string{
			"format": "SELECT", "subscriptions": rowRights, "cursors": rowRights, "records": rowRights,
		} {
			if _, err := db.ExecContext(t.Context(), "GRANT "+granted+" ON "+config.DBName+".celeriant_"+table+" TO consumer"); err != nil {
				t.Fatal(err)
			}
		}
		config.User, config.Passwd = "consumer", "secret"
		d.source = config.FormatDSN()
		return d.fixture(t)
	}
	tested := 0
	for _, rule := range checkpointtest.Rules() {
		if slices.Contains(withRights, rule.Name) {
			tested++
			t.Run(rule.Name, func(t *testing.T) { rule.Check(t, open(t)) })
		}
	}
	if tested != len(withRights) {
		t.Errorf("%d of %d rules exist", tested, len(withRights))
	}
}

const rowRights = "SELECT, INSERT, UPDATE, DELETE"

// A server that has as many connections as it may refuses those beyond.
func TestMariaDBHasTooManyConnections(t *testing.T) {
	t.Parallel()
	_, d := ownMariaDB(t, "--max-connections=10")
	tooManyConnections(t, d)
}
