package logstore_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/internal/storefaults"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	storefaults.ServeMember(runMember)
	goleak.VerifyTestMain(m)
}
