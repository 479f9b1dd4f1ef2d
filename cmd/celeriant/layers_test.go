package main_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const library = "github.com/celeriant/celeriant-go"

// mayImport is the table of DESIGN.md: which packages of the library each of
// its packages may import. Imports only go down.
var mayImport = map[string][]string{
	"":                                         {"operators", "await", "stream", "checkpoint", "pool", "msg"},
	"operators":                                {"operators/internal/schedule", "await", "stream", "checkpoint/rebuild", "checkpoint", "events", "msg"},
	"await":                                    {"checkpoint/lease", "checkpoint", "msg"},
	"operators/internal/schedule":              {"stream", "checkpoint", "msg"},
	"status":                                   {"await", "stream", "checkpoint/lease", "checkpoint", "pool", "msg"},
	"stream":                                   {"stream/internal/engine", "pool", "checkpoint/rebuild", "checkpoint/lease", "checkpoint", "msg"},
	"stream/internal/engine":                   {"checkpoint", "msg"},
	"stream/simulation":                        {},
	"checkpoint":                               {"checkpoint/internal/fields", "checkpoint/internal/notify", "internal/diskfile", "msg"},
	"checkpoint/internal/fields":               {},
	"checkpoint/internal/notify":               {},
	"checkpoint/internal/sqlcore":              {"checkpoint/internal/notify", "checkpoint", "msg"},
	"checkpoint/journal":                       {"checkpoint/internal/fields", "checkpoint/internal/notify", "checkpoint", "msg"},
	"checkpoint/lease":                         {"checkpoint", "msg"},
	"checkpoint/rebuild":                       {"checkpoint", "msg"},
	"checkpoint/logstore":                      {"checkpoint/journal", "checkpoint", "pool", "msg"},
	"checkpoint/checkpointtest":                {"checkpoint/rebuild", "checkpoint", "msg"},
	"events":                                   {"msg"},
	"pool/writer":                              {"pool", "internal/diskfile", "msg"},
	"pool":                                     {"pool/internal/cluster", "pool/internal/node", "pool/internal/conn", "internal/wire", "msg"},
	"pool/internal/cluster":                    {"pool/internal/node", "pool/internal/conn", "msg"},
	"pool/internal/node":                       {"pool/internal/conn", "msg"},
	"pool/internal/conn":                       {"internal/wire", "msg"},
	"celerianttest":                            {"celerianttest/internal/server", "celerianttest/internal/cluster", "celerianttest/internal/replica", "celerianttest/internal/route", "celerianttest/internal/disk", "celerianttest/internal/refusal", "celerianttest/internal/memnet", "celerianttest/internal/shard", "internal/wire", "msg"},
	"celerianttest/internal/server":            {"celerianttest/internal/replica", "celerianttest/internal/route", "celerianttest/internal/refusal", "celerianttest/internal/memnet", "celerianttest/internal/watch", "celerianttest/internal/shard", "internal/wire", "msg"},
	"celerianttest/internal/cluster":           {"celerianttest/internal/replica"},
	"celerianttest/internal/replica":           {"celerianttest/internal/disk", "celerianttest/internal/refusal", "celerianttest/internal/shard", "celerianttest/internal/watch", "msg"},
	"celerianttest/internal/route":             {"celerianttest/internal/refusal", "msg"},
	"celerianttest/internal/disk":              {"celerianttest/internal/shard", "internal/diskfile", "msg"},
	"celerianttest/internal/refusal":           {"celerianttest/internal/shard", "msg"},
	"celerianttest/conformance":                {"celerianttest/conformance/internal/storm", "celerianttest/conformance/internal/requests", "celerianttest/conformance/internal/guarantees", "celerianttest/conformance/internal/world", "celerianttest/conformance/internal/judge", "celerianttest/conformance/internal/record", "stream", "checkpoint"},
	"celerianttest/conformance/internal/storm": {"celerianttest/conformance/internal/world", "celerianttest/conformance/internal/proxy", "celerianttest/conformance/internal/judge", "celerianttest/conformance/internal/record", "stream", "checkpoint", "pool", "msg"},
	"celerianttest/conformance/internal/guarantees": {"celerianttest/conformance/internal/world", "celerianttest/conformance/internal/proxy", "celerianttest/conformance/internal/record", "operators", "stream", "checkpoint", "pool", "msg"},
	"celerianttest/conformance/internal/requests":   {"celerianttest/conformance/internal/world", "celerianttest/conformance/internal/proxy", "pool/writer", "pool", "msg"},
	"celerianttest/conformance/internal/world":      {"celerianttest/conformance/internal/proxy", "stream", "pool", "msg"},
	"celerianttest/conformance/internal/judge":      {"celerianttest/conformance/internal/record"},
	"celerianttest/conformance/internal/record":     {"stream", "checkpoint", "pool", "msg"},
	"celerianttest/conformance/internal/proxy":      {},
	"celerianttest/projectiontest":                  {"celerianttest", "operators", "stream", "checkpoint/rebuild", "checkpoint", "pool", "msg"},
	"celerianttest/internal/memnet":                 {},
	"celerianttest/internal/shard":                  {"msg"},
	"celerianttest/internal/watch":                  {"msg"},
	"internal/wire":                                 {"msg"},
	"internal/dbtest":                               {},
	"internal/diskfile":                             {},
	"internal/platform":                             {},
	"internal/quick":                                {},
	"internal/storefaults":                          {"celerianttest", "checkpoint/checkpointtest", "operators", "stream", "checkpoint", "pool", "msg"},
	"internal/release":                              {},
	"internal/traces":                               {},
	"msg":                                           {},
}

// onlyIn names the packages that may import a module which must not spread.
var onlyIn = map[string][]string{
	"github.com/reactivex/rxgo/v2": {""},
	"database/sql":                 {"operators"},
}

func TestImportsOnlyGoDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, library+"/...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		name, ours := inLibrary(imports[0])
		if !ours || separateModule(name) {
			continue
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %q is not in the table of layers", name)
		}
		for _, imported := range imports[1:] {
			below, ours := inLibrary(imported)
			if ours && !slices.Contains(allowed, below) {
				t.Errorf("package %q imports %q", name, below)
			}
			if homes, limited := onlyIn[imported]; limited && !slices.Contains(homes, name) {
				t.Errorf("package %q imports %s, which belongs in %q only", name, imported, homes)
			}
		}
	}
}

// inLibrary returns the path inside the library.
func inLibrary(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, library)
	return strings.TrimPrefix(rest, "/"), ok && (rest == "" || rest[0] == '/')
}

// separateModule tells the modules with dependencies of their own, which
// nothing of the library imports.
func separateModule(name string) bool {
	for _, module := range []string{"cmd", "examples", "checkpoint/bboltstore", "checkpoint/natsstore", "checkpoint/pgxstore", "checkpoint/redisstore", "checkpoint/sqlstore", "gateway", "internal/release", "otel", "prometheus"} {
		if name == module || strings.HasPrefix(name, module+"/") {
			return true
		}
	}
	return false
}
