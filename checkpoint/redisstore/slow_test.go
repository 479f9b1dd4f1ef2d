//go:build redis

package redisstore_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// The store over a link that is slow, and over one on which nothing arrives for a while.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	storefaults.SlowLink(t, server.Address, func(t testing.TB, address string) checkpointtest.Fixture {
		return fixtures(connect(t, address))(t)
	})
}
