package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// switchboard is the file that switches defects on.
const switchboard = `package engine

import "os"

var defective = os.Getenv("ENGINE_DEFECT")
`

// judges are the tests that must notice a defect, the cheap ones first:
// specifications, then seeds.
var judges = []string{
	"-test.skip=^(TestMutations|TestProperty|TestNothingVacuous|TestDeterministic|TestAllocations|TestSeeds|TestSeedsThatFailed)$",
	"-test.run=^(TestSeeds|TestSeedsThatFailed)$",
}

// TestMutations builds the package with all defects in it, each switched off,
// and runs its tests with one after the other switched on: each must turn one
// red. The defects are laid over the source at build time; no file is changed.
func TestMutations(t *testing.T) {
	binary := buildDefective(t)
	if out, err := judge(t, binary, "none"); err != nil {
		t.Fatalf("without a defect: %v\n%s", err, out)
	}
	failed := regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	for i, d := range defects {
		if testing.Short() && i%40 != 0 {
			continue // a sample
		}
		t.Run(d.name, func(t *testing.T) {
			out, err := judge(t, binary, fmt.Sprint(i))
			if err == nil {
				t.Fatal("no test noticed")
			}
			var by []string
			for _, m := range failed.FindAllStringSubmatch(out, -1) {
				by = append(by, m[1])
			}
			if len(by) == 0 && !strings.Contains(out, "panic:") {
				t.Fatalf("the tests did not run: %v\n%s", err, out)
			}
			t.Logf("noticed by %s", strings.Join(by, " "))
		})
	}
}

// judge runs the tests with one defect switched on.
func judge(t *testing.T, binary, which string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var said []byte
	for _, tests := range judges {
		cmd := exec.CommandContext(ctx, binary, tests, "-test.failfast", "-test.timeout=100s")
		cmd.Env = append(os.Environ(), "ENGINE_DEFECT="+which)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out), err
		}
		said = append(said, out...)
	}
	return string(said), nil
}

// buildDefective compiles the package and its tests with all defects in it.
func buildDefective(t *testing.T) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sources := make(map[string]string)
	for i, d := range defects {
		if _, ok := sources[d.file]; !ok {
			source, err := os.ReadFile(filepath.Join(here, d.file))
			if err != nil {
				t.Fatal(err)
			}
			sources[d.file] = string(source)
		}
		if n := strings.Count(sources[d.file], d.old); n != 1 {
			t.Fatalf("%s: %q occurs %d times in %s, not once", d.name, d.old, n, d.file)
		}
		changed := strings.ReplaceAll(d.changed, "$", fmt.Sprintf("(defective == %q)", fmt.Sprint(i)))
		sources[d.file] = strings.Replace(sources[d.file], d.old, changed, 1)
	}
	sources["switchboard.go"] = switchboard
	replace := make(map[string]string)
	for file, source := range sources {
		replace[filepath.Join(here, file)] = filepath.Join(dir, file)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	config, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "engine.test")
	if err := os.WriteFile(config, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), goTool, "test", "-c", "-overlay", config, "-vet=off", "-o", binary, ".")
	cmd.Dir = here
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the defects do not compile: %v\n%s", err, out)
	}
	return binary
}
