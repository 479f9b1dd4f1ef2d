package main_test

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/guarantees.md anew from the declarations of the tests")

// A subject is what a test can declare to cover, in a line in front of its function:
//
//	//covers:g5 killed
type subject struct{ id, title string }

var guarantees = []subject{
	{"g1", "ordered"},
	{"g2", "gapless"},
	{"g3", "no duplicate within a run"},
	{"g4", "atomic batch"},
	{"g5", "resumable"},
	{"g6", "verified resume"},
	{"g7", "bookmarkable"},
	{"g8", "no phantom"},
	{"g9", "complete discovery"},
	{"g10", "bounded staleness"},
	{"g11", "at-least-once effects"},
	{"g12", "exactly-once effects"},
	{"g13", "poison isolation"},
	{"g14", "bounded resources"},
	{"g15", "definite termination"},
	{"g16", "parking"},
	{"g17", "one owner per partition"},
	{"g18", "honest waiting"},
	{"g19", "clean cut-over of a rebuild"},
	{"g20", "the same through the gateway, as far as docs/gateway.md says"},
	{"g21", "stable identity"},
	{"g22", "honest health"},
}

var faults = []subject{
	{"cuts", "connections cut at every byte and frame, also between acknowledgement and first frame, while listing and paging"},
	{"halfopen", "half-open connections, a node that stopped"},
	{"slow", "a slow handler, more dirty aggregates than the node keeps notifications for"},
	{"frames", "partial, corrupt and oversize frames, wrong lengths, decompression bombs"},
	{"leader", "the leader killed in mid-burst three times in a row; stale, absent and unreachable hints"},
	{"followers", "followers that lag, freeze, restart behind or silent, or repeat batches; switching nodes"},
	{"demotion", "silent demotion, also where the key may not ask who leads"},
	{"trims", "trims below, at and above the cursor, connected or not, while paging"},
	{"deletes", "deletes and recreations of both kinds, connected or not, heads below, at and above the cursor, within one latency window"},
	{"oversize", "a batch larger than the node's answer, a read that stays silent"},
	{"lives", "several lives; a deleted aggregate that looks alive after a restart"},
	{"lists", "writes while lists are read, an aggregate on several pages"},
	{"store", "a checkpoint store that fails before or after its commit, is slow, read-only or away for minutes"},
	{"killed", "the process killed at any instant"},
	{"lease", "an owner paused past its lease"},
	{"handler", "a handler that fails, panics or hangs"},
	{"verdicts", "a classifier that panics, a parked table that is full, an upcaster that fails"},
	{"definitions", "members that differ: the number of partitions, the definition, the scope, the handler's version, the release"},
	{"promoted", "a store that is restored, or promoted from a replica that lost the last writes"},
	{"clocks", "clocks that jump"},
	{"keys", "keys revoked, nonces expired"},
}

// The tables of docs/guarantees.md are those that the declarations of the tests make, and
// each guarantee and each fault has a test. Written anew with
// go test ./cmd/celeriant -run Guarantees -update.
func TestGuaranteesHaveTests(t *testing.T) {
	covered := declarations(t)
	for _, id := range slices.Sorted(maps.Keys(covered)) {
		if !slices.ContainsFunc(slices.Concat(guarantees, faults), func(s subject) bool { return s.id == id }) {
			t.Errorf("%v cover %q, which is neither a guarantee nor a fault", covered[id], id)
		}
	}
	text := document(t, "docs/guarantees.md")
	want := withTable(t, text, "| guarantee | tests |\n|---|---|\n", guarantees, covered)
	want = withTable(t, want, "| fault | runs |\n|---|---|\n", faults, covered)
	if *update {
		if err := os.WriteFile(filepath.Join(root(t), "docs/guarantees.md"), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want == text {
		return
	}
	shown := strings.Split(text, "\n")
	for line := range strings.Lines(want) {
		if line = strings.TrimSuffix(line, "\n"); !slices.Contains(shown, line) {
			t.Errorf("docs/guarantees.md lacks %s", line)
		}
	}
	t.Error("docs/guarantees.md is not what the tests declare: run go test ./cmd/celeriant -run Guarantees -update")
}

// withTable replaces the rows of the table with a head.
func withTable(t *testing.T, text, head string, subjects []subject, covered map[string][]string) string {
	t.Helper()
	before, after, found := strings.Cut(text, head)
	if !found {
		t.Fatalf("docs/guarantees.md has no table %q", head)
	}
	_, rest, _ := strings.Cut(after, "\n\n")
	rows := new(strings.Builder)
	for _, s := range subjects {
		if len(covered[s.id]) == 0 {
			t.Errorf("no test covers %s, %s", s.id, s.title)
		}
		title := s.title
		if head := strings.ToUpper(s.id); strings.HasPrefix(head, "G") && strings.Trim(head, "G0123456789") == "" {
			title = head + " " + title
		}
		fmt.Fprintf(rows, "| %s | `%s` |\n", title, strings.Join(slices.Sorted(slices.Values(covered[s.id])), "`, `"))
	}
	return before + head + rows.String() + "\n" + rest
}

var (
	declaration = regexp.MustCompile(`^\s*//covers:([a-z0-9 ]+)$`)
	testFunc    = regexp.MustCompile(`^func (Test[A-Za-z0-9_]+)\(t \*testing\.T\)`)
	// namedCase is a guarantee of the conformance suite, whose tests are not functions of a test file.
	namedCase = regexp.MustCompile(`^\s*\{"(G[0-9]+_[a-z_]+)",`)
)

// declarations returns, by what is covered, the tests that declare it, as package.Test.
func declarations(t *testing.T) map[string][]string {
	t.Helper()
	covered := make(map[string][]string)
	err := filepath.WalkDir(root(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "//covers:") {
			return err
		}
		folder, err := filepath.Rel(root(t), filepath.Dir(path))
		if err != nil {
			return err
		}
		folder, _, _ = strings.Cut(filepath.ToSlash(folder), "/internal/guarantees")
		var ids []string
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			if m := declaration.FindStringSubmatch(line); m != nil {
				ids = strings.Fields(m[1])
				continue
			}
			if ids == nil {
				continue
			}
			m := testFunc.FindStringSubmatch(line)
			if m == nil {
				m = namedCase.FindStringSubmatch(line)
			}
			if m == nil {
				t.Errorf("%s: %q stands in front of no test", path, ids)
			} else {
				for _, id := range ids {
					covered[id] = append(covered[id], folder+"."+m[1])
				}
			}
			ids = nil
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return covered
}
