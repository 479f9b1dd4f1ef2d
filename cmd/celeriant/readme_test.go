package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func root(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Links between the documents lead somewhere.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(root(t), "docs", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for i := range names {
		names[i] = filepath.Join("docs", filepath.Base(names[i]))
	}
	code := regexp.MustCompile("(?ms)^```.*?^```$")
	for _, name := range append(names, "README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md") {
		links := regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(code.ReplaceAllString(document(t, name), ""), -1)
		for _, link := range links {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root(t), filepath.Dir(name), link[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Every direct dependency of every module is justified in docs/dependencies.md.
func TestDependenciesAreJustified(t *testing.T) {
	_, table, found := strings.Cut(document(t, "docs/dependencies.md"), "# Dependencies\n")
	if !found {
		t.Fatal("docs/dependencies.md has no table of dependencies")
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	if len(modules) < 2 {
		t.Fatalf("only %v found", modules)
	}
	for _, dir := range modules {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			path := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
			direct := len(path) == 2 && strings.HasPrefix(path[1], "v") && strings.Contains(path[0], ".")
			if !direct || strings.HasPrefix(path[0], library) {
				continue
			}
			if !strings.Contains(table, fmt.Sprintf("`%s`", path[0])) {
				t.Errorf("%s requires %s, which docs/dependencies.md does not justify", filepath.Join(dir, "go.mod"), path[0])
			}
		}
	}
}
