package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// leaves are the commands that do something.
var leaves = []string{
	"read", "write", "watch", "forward", "details", "list orgs", "list types", "list aggregates", "delete", "trim", "schema register", "identity new",
	"checkpoints list", "checkpoints show", "checkpoints export", "checkpoints import", "checkpoints repartition", "checkpoints delete",
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

var (
	shellBlock  = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	inlineCode  = regexp.MustCompile("`([^`]+)`")
	shownTool   = regexp.MustCompile(`(?m)(?:^|[ /|])celeriant ([a-z].*)$`)
	shownFolder = regexp.MustCompile(`go (?:run|test) [^\n]*`)
	flagName    = regexp.MustCompile(`--[a-z][a-z-]*`)
)

// commandOf returns the command that a line of arguments begins with, "" for none.
func commandOf(arguments string) string {
	words := strings.Fields(arguments)
	for n := min(len(words), 2); n > 0; n-- {
		if name := strings.Join(words[:n], " "); slices.Contains(leaves, name) {
			return name
		}
	}
	return ""
}

// The commands that the documents show exist and have the flags shown, and so do the
// folders that "go run" and "go test" are shown with.
func TestGuideShowsWhatExists(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root(t), "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	help := make(map[string]string)
	tools, folders := 0, 0
	for _, path := range append(documents, filepath.Join(root(t), "README.md"), filepath.Join(root(t), "CONTRIBUTING.md"), "README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var code []string
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			code = append(code, block[1])
		}
		for _, span := range inlineCode.FindAllStringSubmatch(shellBlock.ReplaceAllString(string(text), ""), -1) {
			code = append(code, strings.Join(strings.Fields(span[1]), " "))
		}
		for _, shown := range code {
			for _, line := range shownTool.FindAllStringSubmatch(shown, -1) {
				name := commandOf(line[1])
				group := func(leaf string) bool { return strings.HasPrefix(leaf, strings.Fields(line[1])[0]+" ") }
				if name == "" {
					if !strings.HasPrefix(line[1], "completion") && !slices.ContainsFunc(leaves, group) {
						t.Errorf("%s shows celeriant %s", path, line[1])
					}
					continue
				}
				tools++
				if help[name] == "" {
					help[name] = command(t, append(strings.Fields(name), "--help")...).stdout
				}
				arguments, _, _ := strings.Cut(line[1], " | ")
				for _, flag := range flagName.FindAllString(arguments, -1) {
					if !strings.Contains(help[name], flag+" ") && !strings.Contains(help[name], flag+"\n") {
						t.Errorf("%s: celeriant %s has no flag %s", path, name, flag)
					}
				}
			}
			for _, line := range shownFolder.FindAllString(shown, -1) {
				for _, word := range strings.Fields(line) {
					if folder, ok := strings.CutPrefix(word, "./"); ok {
						folders++
						if _, err := os.Stat(filepath.Join(root(t), strings.TrimSuffix(folder, "..."))); err != nil {
							t.Errorf("%s: %s: %v", path, line, err)
						}
					}
				}
			}
		}
	}
	if tools < 40 || folders < 20 {
		t.Errorf("only %d commands and %d folders found", tools, folders)
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
