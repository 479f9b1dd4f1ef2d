package redisstore_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/internal/storefaults"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	storefaults.ServeMember(runMember)
	goleak.VerifyTestMain(m,
		// Reads what the server says that tests share, which ends with them.
		goleak.IgnoreAnyFunction("github.com/celeriant/celeriant-go/internal/dbtest.(*Process).Start.func1"),
		goleak.Cleanup(exit))
}
