//go:build faults

package logstore_test

import (
	"context"
	"net"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/celeriant/celeriant-go/pool"
)

// The store over a link that is slow, and over one on which nothing arrives for a while.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	storefaults.SlowLink(t, node.Addr(), func(t testing.TB, address string) checkpointtest.Fixture {
		client, err := pool.New(pool.Options{Address: node.Addr(), Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close(context.Background()) })
		return fixture(client)
	})
}
