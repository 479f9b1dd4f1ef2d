package main_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// leaves are the commands that do something.
var leaves = []string{
	"read", "write", "watch", "forward", "details", "list orgs", "list types", "list aggregates", "delete", "trim", "schema register", "identity new",
	"checkpoints list", "checkpoints show", "checkpoints export", "checkpoints import", "checkpoints delete",
	"parked list", "parked show", "parked release", "parked skip",
	"consumers list", "consumers show", "consumers pause", "consumers resume", "consumers redo",
	"rebuilds list", "rebuilds show", "rebuilds cutover", "rebuilds rollback", "rebuilds abandon", "rebuilds remove",
	"bench seed", "bench readall", "bench write", "bench live", "dev", "gateway", "gateway key", "status", "man", "version",
}

// storeLeaf tells the commands that talk to a checkpoint store alone.
var storeLeaf = regexp.MustCompile("^(checkpoints|parked|consumers|rebuilds) ")

func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestGuideNamesEveryCommand(t *testing.T) {
	text := guide(t)
	for _, leaf := range leaves {
		if !strings.Contains(text, "\n| `celeriant "+leaf+"` | ") {
			t.Errorf("the README lacks celeriant %s", leaf)
		}
		if r := command(t, append(strings.Fields(leaf), "--help")...); r.status != 0 || !strings.Contains(r.stdout, "celeriant "+leaf) {
			t.Errorf("help of %s: status %d, %q", leaf, r.status, r.stdout)
		}
	}
	listed := regexp.MustCompile("(?m)^\\| `celeriant ([a-z ]+)` \\|").FindAllStringSubmatch(text, -1)
	if len(listed) != len(leaves) {
		t.Errorf("the README lists %d commands, the test %d", len(listed), len(leaves))
	}
}

// The commands that the README shows exist and have the flags it shows.
func TestGuideShowsWhatExists(t *testing.T) {
	shown := regexp.MustCompile(`(?m)^.*\bceleriant ((?:[a-z]+ )+)(.*)$`)
	seen := 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(guide(t), -1) {
		for _, line := range shown.FindAllStringSubmatch(block[1], -1) {
			words := strings.Fields(line[1])
			if words[0] == "completion" {
				continue
			}
			seen++
			if !slices.Contains(leaves, strings.Join(words, " ")) {
				t.Errorf("the README shows %q", line[0])
				continue
			}
			help := command(t, append(words, "--help")...).stdout
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(line[2], -1) {
				if !strings.Contains(help, flag+" ") && !strings.Contains(help, flag+"\n") {
					t.Errorf("celeriant %s has no flag %s", line[1], flag)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d commands found", seen)
	}
}

func TestGuideAndHelpAgreeOnStatuses(t *testing.T) {
	help := strings.Join(strings.Fields(command(t, "--help").stdout), " ")
	rows := regexp.MustCompile(`(?m)^\| ([0-5]) \| (.*) \|$`).FindAllStringSubmatch(guide(t), -1)
	if len(rows) != 6 {
		t.Fatalf("the README has %d statuses", len(rows))
	}
	for _, row := range rows {
		if want := row[1] + " " + strings.ReplaceAll(row[2], "`", ""); !strings.Contains(help, want) {
			t.Errorf("the help lacks %q", want)
		}
	}
}

func TestEveryCommandThatConnectsTakesTheSameFlags(t *testing.T) {
	for _, leaf := range leaves {
		if slices.Contains([]string{"dev", "gateway key", "status", "man", "version", "identity new"}, leaf) || storeLeaf.MatchString(leaf) {
			continue
		}
		help := command(t, append(strings.Fields(leaf), "--help")...).stdout
		for _, flag := range []string{"--address", "--seed", "--tls", "--tls-ca", "--tls-server-name", "--tls-cert", "--tls-key", "--api-key-file", "--identity-file", "--json"} {
			if !strings.Contains(help, flag+" ") {
				t.Errorf("celeriant %s lacks %s", leaf, flag)
			}
		}
	}
}

func TestFlagValuesComplete(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"schema register --language ", "json\navro\nprotobuf\n:4\n"},
		{"read --protocol ", "2\n3\n:4\n"},
		{"read --org ", ":4\n"},
		{"list orgs --seed ", ":4\n"},
		{"watch --aggregate ", ":4\n"},
		{"watch --from ", "beginning\nnow\n:4\n"},
		{"watch --checkpoint ", "file:\nsqlite:\npostgres:\nmysql:\nbbolt:\nredis:\nnats:\nlog:\n:6\n"},
		{"bench r", "readall\tRead everything that seed has written\n:4\n"},
		{"list aggregates --incl", "--include-deleted\tlist deleted aggregates too\n:4\n"},
	} {
		if r := command(t, append([]string{"__complete"}, strings.Split(c.line, " ")...)...); r.stdout != c.want {
			t.Errorf("%q completes to %q, want %q", c.line, r.stdout, c.want)
		}
	}
}
