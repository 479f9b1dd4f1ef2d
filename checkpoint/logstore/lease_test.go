//go:build faults

package logstore_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// Every batch is handled, in order, while processes that share a subscription die.
//
//covers:g17
func TestLeasesOfProcessesThatDie(t *testing.T) {
	t.Parallel()
	storefaults.Group{Rounds: 2}.Run(t)
}
