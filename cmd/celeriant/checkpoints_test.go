package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// filledStore makes a file store with a position of n aggregates, whose versions begin at first.
func filledStore(t *testing.T, name string, n int, first uint64) (place string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "store")
	store, err := checkpoint.OpenFile(t.Context(), folder, checkpoint.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owner, err := store.Acquire(t.Context(), checkpoint.Claim{Name: name, Scope: "everything"})
	if err != nil {
		t.Fatal(err)
	}
	var entries []checkpoint.Entry
	for i := range n {
		key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(uint64(i))}
		anchor := checkpoint.Anchor{ServerTimestamp: 5, EventSeq: uint64(i), Hash: 7}
		entries = append(entries, checkpoint.Entry{Key: key, Cursor: checkpoint.Cursor{Version: first + uint64(i), Anchor: anchor}})
	}
	if err := store.Save(t.Context(), owner, entries); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return "file:" + folder
}

// succeeded runs a command that must succeed and returns what it printed.
func succeeded(t *testing.T, args ...string) string {
	t.Helper()
	r := command(t, args...)
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("celeriant %v: status %d, stderr %q", args, r.status, r.stderr)
	}
	return r.stdout
}

func TestCheckpointsMoveBetweenStores(t *testing.T) {
	const aggregates = 1300 // more than an import saves at once
	one, other := filledStore(t, "share 0", aggregates, 10), filledStore(t, "share 1", 20, 1000)
	var listed struct {
		Name, Scope string
		Cursors     int
	}
	if err := json.Unmarshal([]byte(succeeded(t, "checkpoints", "list", "--checkpoint", one, "--json")), &listed); err != nil {
		t.Fatal(err)
	}
	if listed.Name != "share 0" || listed.Scope != "everything" || listed.Cursors != aggregates {
		t.Errorf("listed %+v", listed)
	}
	dir := t.TempDir()
	first, second := filepath.Join(dir, "0.jsonl"), filepath.Join(dir, "1.jsonl")
	for file, args := range map[string][]string{first: {one, "share 0"}, second: {other, "share 1"}} {
		text := succeeded(t, "checkpoints", "export", "--checkpoint", args[0], "--name", args[1])
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target := "sqlite:" + filepath.Join(dir, "merged.db")
	importing := []string{"checkpoints", "import", "--checkpoint", target, "--name", "orders", "--file", first, "--file", second, "--json"}
	if got := succeeded(t, importing...); !strings.Contains(got, `"imported":1320,"kept":0`) {
		t.Errorf("import said %q", got)
	}
	if got := succeeded(t, importing...); !strings.Contains(got, `"imported":0,"kept":1320`) {
		t.Errorf("a second import said %q", got)
	}
	merged := succeeded(t, "checkpoints", "export", "--checkpoint", target, "--name", "orders")
	// Aggregate 3 is in both: the further cursor stays.
	if !strings.Contains(merged, `"aggregate":"00000000-0000-0000-0000-000000000003","cursor":"1.0.1003.`) {
		t.Error("the merged position does not hold the furthest cursor")
	}
	if got := succeeded(t, "checkpoints", "show", "--checkpoint", target, "--name", "orders"); !strings.Contains(got, "aggregates  1300, 0 of them deleted") {
		t.Errorf("show said %q", got)
	}
	succeeded(t, "checkpoints", "delete", "--checkpoint", target, "--name", "orders", "--yes")
	if r := command(t, "checkpoints", "show", "--checkpoint", target, "--name", "orders"); r.status != 4 {
		t.Errorf("a deleted position is shown with status %d: %q", r.status, r.stdout)
	}
}

func TestCheckpointsRefuse(t *testing.T) {
	place := filledStore(t, "orders", 1, 1)
	for _, test := range []struct {
		want   string
		status int
		args   []string
	}{
		{"--checkpoint is required", 2, []string{"list"}},
		{"--name is required", 2, []string{"show", "--checkpoint", place}},
		{`of the kind "ftp"`, 2, []string{"list", "--checkpoint", "ftp:x"}},
		{"names nothing behind postgres:", 2, []string{"list", "--checkpoint", "postgres:"}},
		{`no position named "other"`, 4, []string{"show", "--checkpoint", place, "--name", "other"}},
		{"add --yes", 2, []string{"delete", "--checkpoint", place, "--name", "orders"}},
		{"no such file", 1, []string{"import", "--checkpoint", place, "--name", "x", "--file", filepath.Join(t.TempDir(), "none")}},
		{"standard input is empty", 1, []string{"import", "--checkpoint", place, "--name", "x"}},
	} {
		r := command(t, append([]string{"checkpoints"}, test.args...)...)
		if r.status != test.status || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%v: status %d, stderr %q; want %d and %q", test.args, r.status, r.stderr, test.status, test.want)
		}
		if hint := strings.Contains(r.stderr, "--help"); hint != (test.status == 2) {
			t.Errorf("%v: stderr %q points at the help: %v", test.args, r.stderr, hint)
		}
	}
	if r := command(t, "checkpoints", "list", "--checkpoint", "postgre:user:secret@host"); strings.Contains(r.stderr, "secret") {
		t.Errorf("a password is printed: %q", r.stderr)
	}
}
