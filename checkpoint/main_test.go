package checkpoint_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(saverFolder); dir != "" {
		saveUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}
