// Package quick keeps go test -short quick: about five seconds for a package.
package quick

import (
	"flag"
	"strings"
	"testing"
)

// LeaveOut has go test -short leave out tests that wait for clocks or run many
// processes, and run up to eight of the others that call t.Parallel at a time. CI runs them without -short; the race detector and -run run them with
// -short, too. Call LeaveOut at the beginning of TestMain. The names are those of test
// functions.
func LeaveOut(tests ...string) {
	flag.Parse()
	if !testing.Short() || raced {
		return
	}
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = flag.Set("test.parallel", "8")
	}
	if value("test.run") == "" && value("test.skip") == "" {
		_ = flag.Set("test.skip", "^("+strings.Join(tests, "|")+")$")
	}
}

func value(name string) string { return flag.Lookup(name).Value.String() }
