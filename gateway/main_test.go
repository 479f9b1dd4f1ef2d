package gateway_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if node := os.Getenv(processEnvironment); node != "" {
		gatewayProcess(node)
		return
	}
	goleak.VerifyTestMain(m)
}
