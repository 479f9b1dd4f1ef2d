package gateway_test

import (
	"os"
	"testing"

	"github.com/celeriant/celeriant-go/internal/quick"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if node := os.Getenv(processEnvironment); node != "" {
		gatewayProcess(node)
		return
	}
	quick.LeaveOut("TestMembersOutliveAKilledGateway", "TestCreditBoundsWhatIsOutstanding", "TestStatesAreTheHeartbeat")
	goleak.VerifyTestMain(m)
}
