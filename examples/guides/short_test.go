package guides

import (
	"os"
	"testing"

	"github.com/celeriant/celeriant-go/internal/quick"
)

func TestMain(m *testing.M) {
	quick.LeaveOut("TestOrdersWhateverHappens")
	os.Exit(m.Run())
}
