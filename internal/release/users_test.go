//go:build release

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
			"GOWORK=off", "GOFLAGS=-mod=mod", "GOSUMDB=off",
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
		dir := filepath.Join(user, "of-"+strings.ReplaceAll(strings.ReplaceAll(m.folder, "/", "-"), ".", "root"))
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
