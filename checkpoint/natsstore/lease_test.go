//go:build faults

package natsstore_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// Every batch is handled, in order, while processes that share a subscription die.
//
//covers:g17
func TestLeasesOfProcessesThatDie(t *testing.T) {
	t.Parallel()
	storefaults.Group{Settings: embedded(t).ClientURL(), Rounds: 2}.Run(t)
}
