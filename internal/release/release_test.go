package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const version = "v0.1.0"

// clone copies the commit that is checked out, with an author and a section in the
// change log, which a release needs.
func clone(t *testing.T) git {
	t.Helper()
	top, err := git{"."}.run("rev-parse", "--show-toplevel")
	if err != nil {
		t.Fatal(err)
	}
	repository := git{filepath.Join(t.TempDir(), "repository")}
	if out, err := exec.Command("git", "clone", "--quiet", "--no-tags", strings.TrimSpace(top), repository.root).CombinedOutput(); err != nil {
		t.Fatalf("cloning: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"config", "user.name", "release test"}, {"config", "user.email", "release@example.invalid"}} {
		if _, err := repository.run(args...); err != nil {
			t.Fatal(err)
		}
	}
	changes := filepath.Join(repository.root, "CHANGELOG.md")
	file, err := os.OpenFile(changes, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(file, "\n## %s\n\nA test.\n", strings.TrimPrefix(version, "v")); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := repository.run("commit", "--quiet", "--all", "--message", "test"); err != nil {
		t.Fatal(err)
	}
	return repository
}

func TestReleaseRefuses(t *testing.T) {
	repository := clone(t)
	refuse := func(version, want string) {
		t.Helper()
		if err := release(repository.root, version, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("release of %q: %v, want %q in it", version, err, want)
		}
	}
	refuse("0.1.0", "no semantic version")
	refuse("v0.1", "no semantic version")
	refuse("v2.0.0", "another module path")
	refuse("v0.2.0", `no section "## 0.2.0"`)
	if _, err := repository.run("tag", version); err != nil {
		t.Fatal(err)
	}
	refuse(version, "does not come after v0.1.0")
	if err := os.WriteFile(filepath.Join(repository.root, "left"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	refuse("v0.1.1", "has changes")
}

func TestModulesComeAfterThoseTheyNeed(t *testing.T) {
	order, err := modules(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, m := range order {
		for _, need := range m.needs {
			if !seen[need] {
				t.Errorf("%s comes before %s, which it needs", m.path, need)
			}
		}
		seen[m.path] = true
	}
	if !seen[library] || seen[library+"/examples"] || seen[library+"/internal/release"] {
		t.Errorf("released are %v", seen)
	}
	if _, err := inOrder(map[string]*module{"a": {needs: []string{"b"}}, "b": {needs: []string{"a"}}}); err == nil {
		t.Error("a circle of modules was ordered")
	}
}
