//go:build mariadb

package sqlstore_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/go-sql-driver/mysql"
)

// The store over a link that is slow, and over one on which nothing arrives for a while.
func TestMariaDBSlowLink(t *testing.T) {
	t.Parallel()
	config, err := mysql.ParseDSN(mariadb(t).source)
	if err != nil {
		t.Fatal(err)
	}
	storefaults.SlowLink(t, config.Addr, func(t testing.TB, address string) checkpointtest.Fixture {
		d := mariadb(t)
		config, err := mysql.ParseDSN(d.source)
		if err != nil {
			t.Fatal(err)
		}
		config.Addr = address
		d.source = config.FormatDSN()
		return d.fixture(t)
	})
}
