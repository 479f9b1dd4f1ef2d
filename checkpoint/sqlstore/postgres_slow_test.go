//go:build postgres

package sqlstore_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// The store over a link that is slow, and over one on which nothing arrives for a while.
func TestPostgresSlowLink(t *testing.T) {
	t.Parallel()
	server := pgConfig(t, postgres(t).source)
	target := net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port)))
	storefaults.SlowLink(t, target, func(t testing.TB, address string) checkpointtest.Fixture {
		d := postgres(t)
		config := pgConfig(t, d.source)
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		config.Host, config.Port = host, uint16(number)
		d.source = stdlib.RegisterConnConfig(config)
		t.Cleanup(func() { stdlib.UnregisterConnConfig(d.source) })
		return d.fixture(t)
	})
}

func pgConfig(t testing.TB, source string) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(source)
	if err != nil {
		t.Fatal(err)
	}
	return config
}
