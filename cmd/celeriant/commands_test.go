package main_test

import (
	"os"
	"path/filepath"
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
	for _, args := range [][]string{{"--help"}, {"help"}} {
		r := command(t, args...)
		for _, want := range []string{"  dev ", "  version ", "  completion "} {
			if r.status != 0 || !strings.Contains(r.stdout, want) {
				t.Errorf("celeriant %v: status %d, no %q in %q", args, r.status, want, r.stdout)
			}
		}
	}
}

func TestMisspeltCommandIsNamedWithTheNearest(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"serve"}, "celeriant: there is no command \"serve\"\nSee: celeriant --help\n"},
		{[]string{"wrte"}, "celeriant: there is no command \"wrte\"; did you mean write?\nSee: celeriant --help\n"},
		// The flags of a command that is not known cannot be wrong.
		{[]string{"reed", "--org", "1"}, "celeriant: there is no command \"reed\"; did you mean read?\nSee: celeriant --help\n"},
		{[]string{"help", "reed"}, "celeriant: there is no command \"reed\"; did you mean read?\nSee: celeriant --help\n"},
		{[]string{"completion", "fihs"}, "celeriant completion: there is no command \"fihs\"; did you mean fish?\nSee: celeriant completion --help\n"},
		{[]string{"list", "aggregats"}, "celeriant list: there is no command \"aggregats\"; did you mean aggregates?\nSee: celeriant list --help\n"},
	} {
		if r := command(t, test.args...); r.status != 2 || r.stderr != test.want || r.stdout != "" {
			t.Errorf("%v: status %d, stderr %q, want %q", test.args, r.status, r.stderr, test.want)
		}
	}
}

func TestUnknownFlagIsNamedWithTheNearest(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"read", "--ogr", "1"}, "celeriant read: unknown flag: --ogr; did you mean --org?\n"},
		{[]string{"read", "--agregate", "1"}, "celeriant read: unknown flag: --agregate; did you mean --aggregate?\n"},
		{[]string{"read", "--aggr=1"}, "celeriant read: unknown flag: --aggr; did you mean --aggregate?\n"},
		{[]string{"read", "-org=1"}, "celeriant read: unknown shorthand flag: 'o' in -org=1; did you mean --org?\n"},
		{[]string{"read", "--colour"}, "celeriant read: unknown flag: --colour\n"},
		{[]string{"dev", "--num-shard", "2"}, "celeriant dev: unknown flag --num-shard; did you mean --num-shards?\n"},
		{[]string{"dev", "--address", "x"}, "celeriant dev: unknown flag --address; did you mean --listen-address?\n"},
		{[]string{"dev", "--jsno"}, "celeriant dev: unknown flag --jsno; did you mean --json?\n"},
		{[]string{"dev", "--colour", "red"}, "celeriant dev: unknown flag --colour\n"},
	} {
		test.want += "See: celeriant " + test.args[0] + " --help\n"
		if r := command(t, test.args...); r.status != 2 || r.stderr != test.want || r.stdout != "" {
			t.Errorf("%v: status %d, stderr %q, want %q", test.args, r.status, r.stderr, test.want)
		}
	}
}

func TestGroupWithoutACommandShowsItsUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"list"}, {"schema"}, {"identity"}, {"bench"}} {
		r := command(t, args...)
		if r.status != 2 || r.stdout != "" || !strings.Contains(r.stderr, "Available Commands:") || !strings.Contains(r.stderr, "a command is required") {
			t.Errorf("celeriant %v: status %d, stdout %q, stderr %q", args, r.status, r.stdout, r.stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	if flag, r := command(t, "--version"), command(t, "version"); flag != r {
		t.Errorf("--version answers %+v, version %+v", flag, r)
	}
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

func TestManualHasAPageForEveryCommand(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "man")
	if r := command(t, "man", folder); r.status != 0 || r.stdout+r.stderr != "" {
		t.Fatalf("status %d, stdout %q, stderr %q", r.status, r.stdout, r.stderr)
	}
	for _, page := range []string{"celeriant.1", "celeriant-watch.1", "celeriant-list-aggregates.1"} {
		text, err := os.ReadFile(filepath.Join(folder, page))
		if err != nil || !strings.Contains(string(text), "SYNOPSIS") {
			t.Errorf("%s: %v, %q", page, err, text)
		}
	}
}
