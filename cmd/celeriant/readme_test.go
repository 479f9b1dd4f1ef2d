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

// frames surround the README's pieces of Go, in order, to make files that
// compile. The first is a whole program.
var frames = []struct{ before, after string }{
	{},
	{`package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

func forms(ctx context.Context, client *celeriant.Client, orders *celeriant.Observable, db *sql.DB,
	notify func(context.Context, celeriant.Change) error,
	decode rxgo.Func, shipped rxgo.Predicate, next rxgo.NextFunc, fail rxgo.ErrFunc, done rxgo.CompletedFunc,
	applyInTx func(context.Context, *sql.Tx, []stream.Change) error,
	key msg.Key, events []msg.Event, clientID msg.ID) (err error) {
`, `
	_ = v
	return err
}

func main() {}
`},
	{`package main

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

func more(ctx context.Context, client *celeriant.Client, org, order, invoice, archive msg.ID, key msg.Key) error {
`, `
	return err
}

func main() {}
`},
	{`package main

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func alone(ctx context.Context, key msg.Key, events []msg.Event, clientID msg.ID) error {
`, `
	_, _ = version, details
	return err
}

func main() {}
`},
	{`package main_test

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
)

`, ``},
}

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

// The README's code compiles, in the workspace a checkout is.
func TestReadmeCompiles(t *testing.T) {
	pieces := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(document(t, "README.md"), -1)
	if len(pieces) != len(frames) {
		t.Fatalf("the README has %d pieces of Go, the test knows %d", len(pieces), len(frames))
	}
	for i, piece := range pieces {
		name := filepath.Join(t.TempDir(), "readme.go")
		if strings.Contains(frames[i].before, "package main_test") {
			name = filepath.Join(filepath.Dir(name), "readme_test.go")
		}
		if err := os.WriteFile(name, []byte(frames[i].before+piece[1]+frames[i].after), 0o600); err != nil {
			t.Fatal(err)
		}
		vet := exec.Command("go", "vet", name)
		vet.Dir = root(t)
		if out, err := vet.CombinedOutput(); err != nil {
			t.Errorf("piece %d of the README: %v\n%s", i+1, err, out)
		}
	}
}

// Links between the documents lead somewhere.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	for _, name := range []string{"README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		links := regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(document(t, name), -1)
		for _, link := range links {
			if _, err := os.Stat(filepath.Join(root(t), link[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Every direct dependency of every module is justified in DESIGN.md.
func TestDependenciesAreJustified(t *testing.T) {
	_, table, found := strings.Cut(document(t, "DESIGN.md"), "\n## Dependencies\n")
	if !found {
		t.Fatal("DESIGN.md has no chapter on dependencies")
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
				t.Errorf("%s requires %s, which DESIGN.md does not justify", filepath.Join(dir, "go.mod"), path[0])
			}
		}
	}
}
