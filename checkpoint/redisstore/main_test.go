package redisstore_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Reads what the server says that tests share, which ends with them.
		goleak.IgnoreAnyFunction("github.com/celeriant/celeriant-go/internal/dbtest.(*process).Start.func1"),
		goleak.Cleanup(exit))
}
