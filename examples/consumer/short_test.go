package main

import (
	"os"
	"testing"

	"github.com/celeriant/celeriant-go/internal/quick"
)

func TestMain(m *testing.M) {
	quick.LeaveOut("TestInstancesShareTheWork")
	os.Exit(m.Run())
}
