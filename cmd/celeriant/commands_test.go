package main_test

import (
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"dev", "--help"}, {"dev", "-h"}, {"help", "dev"}} {
		r := command(t, args...)
		if r.status != 0 || r.stderr != "" {
			t.Errorf("%v: status %d, stderr %q", args, r.status, r.stderr)
		}
		for _, want := range []string{
			"celeriant dev [flags]", "--json", "--listen-address HOST", "--client-port PORT", "--num-shards N", "--routing-rule RULE",
			"--reserve-coordinator-shard", "--max-request-size BYTES", "--max-response-size BYTES", "--list-page-size N",
			"--client-connection-timeout-ms MS", "--max-requested-latency-ms MS", "--require-client-identity", "--data-root FOLDER", "--quirks",
		} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%v: the help lacks %q", args, want)
			}
		}
		for line := range strings.Lines(r.stdout) {
			if len(line) > 141 {
				t.Errorf("%v: line too long for a terminal: %q", args, line)
			}
		}
	}
}

func TestRootHelpNamesEveryCommand(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"help"}} {
		r := command(t, args...)
		for _, want := range []string{"  dev ", "  version ", "  completion "} {
			if r.status != 0 || !strings.Contains(r.stdout, want) {
				t.Errorf("celeriant %v: status %d, no %q in %q", args, r.status, want, r.stdout)
			}
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	r := command(t, "serve")
	if r.status != 2 || r.stderr != "celeriant: unknown command \"serve\" for \"celeriant\"\nSee: celeriant --help\n" {
		t.Errorf("status %d, stderr %q", r.status, r.stderr)
	}
}

func TestVersion(t *testing.T) {
	r := command(t, "version")
	if r.status != 0 || !strings.HasPrefix(r.stdout, "celeriant ") || !strings.Contains(r.stdout, "protocol versions 2 and 3") {
		t.Errorf("status %d, stdout %q", r.status, r.stdout)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := command(t, "completion", shell); r.status != 0 || !strings.Contains(r.stdout, "celeriant") {
			t.Errorf("%s: status %d, %d bytes", shell, r.status, len(r.stdout))
		}
	}
	r := command(t, "__complete", "dev", "--da")
	if !strings.HasPrefix(r.stdout, "--data-root\n:") {
		t.Errorf("--da completes to %q", r.stdout)
	}
}
