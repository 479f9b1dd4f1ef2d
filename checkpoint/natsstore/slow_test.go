//go:build faults

package natsstore_test

import (
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// The store over a link that is slow, and over one on which nothing arrives for a while.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	target := strings.TrimPrefix(embedded(t).ClientURL(), "nats://")
	storefaults.SlowLink(t, target, func(t testing.TB, address string) checkpointtest.Fixture {
		return fixtures(connect(t, "nats://"+address))(t)
	})
}
