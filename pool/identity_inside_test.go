package pool

import (
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// The example of protocol section 8.2.
func TestDerivedClientID(t *testing.T) {
	want := msg.MustParseID("05af7819-cc85-448a-dda2-ef1eb042dfe5")
	if got := deriveClientID([]byte("test_public_key")); got != want {
		t.Errorf("derived %v, want %v", got, want)
	}
}
