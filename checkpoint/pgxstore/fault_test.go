//go:build postgres

package pgxstore_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A server that crashes in the middle of transactions, twice.
func TestPostgresIsKilled(t *testing.T) {
	server, err := dbtest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	pool, err := pgxpool.New(t.Context(), server.Source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := open(t, pool)
	x, err := newCounted(t.Context(), s, pool)
	if err != nil {
		t.Fatal(err)
	}
	crash := func() error { return errors.Join(server.Kill(), server.Start()) }
	storefaults.Crashes(t, s, x, crash, crash)
}

// The store over a link that is slow, and over one on which nothing arrives for a while.
func TestPostgresSlowLink(t *testing.T) {
	direct := schema(t)()
	server := direct.Config().ConnConfig
	target := net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port)))
	storefaults.SlowLink(t, target, func(t testing.TB, address string) checkpointtest.Fixture {
		return fixtureOver(t, func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		})
	})
}
