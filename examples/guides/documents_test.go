package guides

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// trimmed are the lines of a text without indentation and empty lines.
func trimmed(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// holds reports whether lines contain part, one line after another.
func holds(lines, part []string) bool {
	for i := range len(lines) - len(part) + 1 {
		if slices.Equal(lines[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

// Every piece of Go in README.md and docs/ is a piece of a file of examples/, which is
// compiled and tested there, or a whole program, which is compiled here.
func TestDocumentsShowCodeThatCompiles(t *testing.T) {
	var sources [][]string
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		sources = append(sources, trimmed(string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pieces := 0
	for _, document := range append(documents, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range goPieces.FindAllStringSubmatch(string(text), -1) {
			pieces++
			if strings.HasPrefix(piece[1], "package orders\n") {
				continue // the head of the file that TestGettingStartedRuns makes
			}
			if strings.HasPrefix(piece[1], "package ") {
				vet(t, document, piece[1])
				continue
			}
			part := trimmed(piece[1])
			if !slices.ContainsFunc(sources, func(lines []string) bool { return holds(lines, part) }) {
				t.Errorf("%s shows code that is in no file of examples/:\n%s", filepath.Base(document), piece[1])
			}
		}
	}
	if pieces < 15 {
		t.Errorf("only %d pieces found", pieces)
	}
}

// The pieces of Go in the first guide, one after another, are a file whose tests pass, and
// nothing is lacking in it.
func TestGettingStartedRuns(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "getting-started.md"))
	if err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	for _, piece := range goPieces.FindAllStringSubmatch(string(text), -1) {
		file.WriteString(piece[1] + "\n")
	}
	name := filepath.Join(t.TempDir(), "orders_test.go")
	if err := os.WriteFile(name, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-run", "TestOrders", "-v", name).CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestOrders") {
		t.Errorf("%v\n%s", err, out)
	}
}

var goPieces = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

func vet(t *testing.T, document, program string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program.go")
	if err := os.WriteFile(name, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "vet", name).CombinedOutput(); err != nil {
		t.Errorf("a program of %s: %v\n%s", filepath.Base(document), err, out)
	}
}

func TestHolds(t *testing.T) {
	lines := trimmed("a\n\tb  c\n\nd")
	for part, want := range map[string]bool{"a": true, "\t\tb c\n d\n": true, "a\nd": false, "b": false, "a\nb c\nd\ne": false} {
		if holds(lines, trimmed(part)) != want {
			t.Errorf("%q: not %v", part, want)
		}
	}
}
