package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// publish puts every module of the release commit into a folder in the form of a module
// proxy, and returns the modules.
func publish(t *testing.T, repository git, proxy string) []*module {
	t.Helper()
	if _, err := repository.run("checkout", "--quiet", version); err != nil {
		t.Fatal(err)
	}
	all, err := modules(repository.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		folder := filepath.Join(proxy, filepath.FromSlash(m.path), "@v")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		archive, err := pack(repository.root, m, version)
		if err != nil {
			t.Fatal(err)
		}
		mod, err := os.ReadFile(filepath.Join(repository.root, filepath.FromSlash(m.folder), "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Unix(1767225600, 0).UTC()})
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{version + ".zip": archive, version + ".mod": mod, version + ".info": info, "list": []byte(version + "\n")} {
			if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// TestReleaseWorksForUsers makes a release into a module proxy of files and uses it as a
// stranger would, with the dependencies that the module cache holds already.
func TestReleaseWorksForUsers(t *testing.T) {
	repository := clone(t)
	if err := release(repository.root, version, io.Discard); err != nil {
		t.Fatal(err)
	}
	if left, err := repository.run("status", "--porcelain"); err != nil || left != "" {
		t.Fatalf("the release left %q, %v", left, err)
	}
	if text, err := os.ReadFile(filepath.Join(repository.root, "cmd", "celeriant", "go.mod")); err != nil || !strings.Contains(string(text), "=> ../..") {
		t.Errorf("after the release the modules do not replace each other: %v\n%s", err, text)
	}
	proxy := t.TempDir()
	all := publish(t, repository, proxy)

	user := t.TempDir()
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	modcache := filepath.Join(user, "modules")
	t.Cleanup(func() { // modules are read-only files
		clean := exec.Command("go", "clean", "-modcache")
		clean.Env = append(os.Environ(), "GOMODCACHE="+modcache)
		if out, err := clean.CombinedOutput(); err != nil {
			t.Errorf("cleaning the module cache: %v\n%s", err, out)
		}
	})
	run := func(dir string, args ...string) {
		t.Helper()
		c := exec.Command("go", args...)
		c.Dir = dir
		c.Env = append(os.Environ(),
			"GOWORK=off", "GOFLAGS=-mod=mod -modcacherw", "GONOSUMDB=*", "GONOSUMCHECK=1", "GOSUMDB=off", "GONOPROXY=none", "GOPRIVATE=",
			"GOMODCACHE="+modcache,
			"GOBIN="+filepath.Join(user, "bin"),
			"GOPROXY=file://"+filepath.ToSlash(proxy)+",file://"+filepath.ToSlash(filepath.Join(strings.TrimSpace(string(cache)), "cache", "download"))+",off",
		)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, m := range all {
		if strings.HasPrefix(m.folder, "cmd/") {
			run(user, "install", m.path+"@"+version)
			continue
		}
		dir := filepath.Join(user, strings.ReplaceAll(m.folder, "/", "-"))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		run(dir, "mod", "init", "example.invalid/user")
		run(dir, "get", m.path+"@"+version)
		program := fmt.Sprintf("package main\n\nimport _ %q\n\nfunc main() {}\n", m.path)
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o644); err != nil {
			t.Fatal(err)
		}
		run(dir, "build", "-o", filepath.Join(user, "program"), ".")
	}
	out, err := exec.Command(filepath.Join(user, "bin", "celeriant"), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "celeriant "+version+" ") {
		t.Errorf("the installed tool says %q, %v; want its version", out, err)
	}
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
