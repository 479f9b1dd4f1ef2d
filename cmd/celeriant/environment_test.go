package main_test

import (
	"strings"
	"testing"
)

func TestEnvironmentSetsConnectionFlags(t *testing.T) {
	const dead, other = "127.0.0.1:1", "127.0.0.1:2"
	details := []string{"details", "--org", "1", "--type", "1", "--aggregate", "1", "--connect-timeout", "100ms", "--request-timeout", "1s"}
	t.Setenv("CELERIANT_ADDRESS", dead)
	if r := command(t, details...); r.status == 0 || !strings.Contains(r.stderr, dead) {
		t.Errorf("status %d, stderr %q, want the address of the variable in it", r.status, r.stderr)
	}
	if r := command(t, append(details, "--address", other)...); !strings.Contains(r.stderr, other) || strings.Contains(r.stderr, dead) {
		t.Errorf("stderr %q, want the address of the command line", r.stderr)
	}
	t.Setenv("CELERIANT_PROTOCOL", "two")
	r := command(t, details...)
	if r.status != 2 || !strings.Contains(r.stderr, `CELERIANT_PROTOCOL is "two", which is no value of --protocol`) {
		t.Errorf("status %d, stderr %q, want the variable blamed by name", r.status, r.stderr)
	}
	if help := command(t, "read", "--help").stdout; !strings.Contains(help, "CELERIANT_TLS_CA") {
		t.Error("the help of read does not name its variables")
	}
}
