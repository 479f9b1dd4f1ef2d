package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/quick"
	"github.com/celeriant/celeriant-go/pool"
)

func TestMain(m *testing.M) {
	quick.LeaveOut("TestKilledAtAnyInstant", "TestDatabaseTrouble", "TestCutConnections", "TestUnreachableServer",
		"TestLostAnswers", "TestFullDisk", "TestStopAndGoOn", "TestSharedServer", "TestDeletedAircraft")
	code := m.Run()
	if built.Load() {
		if path, err := buildOnce(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	if code == 0 {
		if err := findsNoLeak(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// truth is what the embedded week comes to.
var truth = totals{
	Departures: map[string]int{"EWR": 2197, "JFK": 2164, "LGA": 1703},
	Late: map[string]int{"EV": 121, "B6": 66, "AA": 35, "MQ": 31, "UA": 29, "9E": 22, "DL": 17,
		"WN": 3, "US": 3, "F9": 1, "YV": 1},
	Cancelled: 35,
}

const (
	weekEvents  = 12_160
	weekBatches = 4_642
)

func wantTruth(t *testing.T, got totals) {
	t.Helper()
	if !reflect.DeepEqual(got.Departures, truth.Departures) || !reflect.DeepEqual(got.Late, truth.Late) || got.Cancelled != truth.Cancelled {
		t.Errorf("totals are %+v, want %+v", got, truth)
	}
}

// parseTotals reads what --json prints.
func parseTotals(t *testing.T, text string) totals {
	t.Helper()
	var got totals
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return got
}

// succeed runs the program inside the test and returns its totals.
func succeed(t *testing.T, args ...string) totals {
	t.Helper()
	var out, diagnostics bytes.Buffer
	if status := program(t.Context(), append(args, "--json"), &out, &diagnostics); status != 0 {
		t.Fatalf("exit status %d: %s", status, diagnostics.String())
	}
	return parseTotals(t, out.String())
}

// fail runs the program inside the test and wants it to fail, and to say so on
// one of its last lines with all of these words.
func fail(t *testing.T, words []string, args ...string) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	status := program(t.Context(), args, &out, &diagnostics)
	wantFailure(t, status, out.String(), diagnostics.String(), words)
}

func wantFailure(t *testing.T, status int, out, diagnostics string, words []string) {
	t.Helper()
	if status != 1 || out != "" {
		t.Errorf("exit status %d, printed %q", status, out)
	}
	_, message, _ := strings.Cut(diagnostics, "flights: ")
	for _, word := range words {
		if !strings.Contains(message, word) {
			t.Errorf("%q does not name %q", message, word)
		}
	}
}

// open opens the read model of a folder beside the program.
func open(t *testing.T, dir string) *sql.DB {
	t.Helper()
	name, err := source(filepath.Join(dir, "flights.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, db *sql.DB, query string) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// wantLedger checks that each batch was applied once: the ledger has no unique
// constraint, so whatever was applied twice or left out shows.
func wantLedger(t *testing.T, dir string) {
	t.Helper()
	db := open(t, dir)
	defer db.Close()
	for what, query := range map[string]string{
		"applied more than once": "SELECT count(*) FROM (SELECT 1 FROM ledger GROUP BY aircraft, life, version HAVING count(*) > 1)",
		"holes": `SELECT count(*) FROM (SELECT 1 FROM ledger GROUP BY aircraft
			HAVING min(version) <> 1 OR max(version) <> count(*) OR max(life) <> 0)`,
		"with a cursor that differs": `SELECT (SELECT count(*) FROM celeriant_cursors) - (SELECT count(*)
			FROM (SELECT aircraft, max(version) AS version, hash FROM ledger GROUP BY aircraft) l
			JOIN celeriant_cursors c ON c.aggregate_id = l.aircraft AND c.version = l.version AND c.hash = l.hash)`,
		"too few or too many": fmt.Sprintf("SELECT count(*) - %d FROM ledger", weekBatches),
	} {
		if n := number(t, db, query); n != 0 {
			t.Errorf("ledger: %d %s", n, what)
		}
	}
}

// storedBatches counts what the node of a folder holds.
func storedBatches(t *testing.T, dir string) int {
	t.Helper()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2, DataRoot: filepath.Join(dir, "node")})
	defer node.Close()
	p, err := pool.New(pool.Options{Address: node.Addr(), RequestTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	n := 0
	for item, err := range p.ListAggregates(t.Context(), pool.ListAggregatesOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n += int(item.MaxVersion)
	}
	return n
}

// buildOnce builds the program, where any account may run it.
var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "flights")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "flights")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, os.Chmod(dir, 0o755)
})

var built atomic.Bool

func buildBinary(t *testing.T) string {
	t.Helper()
	built.Store(true)
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTotalsAndARerun(t *testing.T) {
	dir := t.TempDir()
	first := succeed(t, "--dir", dir, "--ledger")
	wantTruth(t, first)
	if first.Resumed || first.EventsApplied != weekEvents || first.BatchesApplied != weekBatches {
		t.Errorf("the first run says %+v", first)
	}
	for range 2 {
		again := succeed(t, "--dir", dir, "--ledger")
		wantTruth(t, again)
		if !again.Resumed || again.EventsApplied != 0 || again.BatchesApplied != 0 {
			t.Errorf("a rerun says %+v", again)
		}
	}
	wantLedger(t, dir)
	if n := storedBatches(t, dir); n != weekBatches {
		t.Errorf("%d batches are stored, want %d", n, weekBatches)
	}
}

func TestTables(t *testing.T) {
	var out bytes.Buffer
	if status := program(t.Context(), []string{"--dir", t.TempDir(), "--writers", "1"}, &out, io.Discard); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	text := out.String()
	at := 0
	for _, part := range []string{"Departures   EWR   JFK   LGA\n", "05:00    35    43    42\n", "total  2197  2164  1703\n",
		"at least 60 minutes late\n", "EV  ExpressJet Airlines Inc.  121\n", "YV  Mesa Airlines Inc.        1\n",
		"landed last\n", "Hartsfield Jackson", "35 flights cancelled. This run began from nothing and applied 12160 events in 4642 batches.\n"} {
		i := strings.Index(text[at:], part)
		if i < 0 {
			t.Fatalf("%q is missing, or not in its place, in:\n%s", part, text)
		}
		at += i
	}
}

func TestHelp(t *testing.T) {
	var help bytes.Buffer
	if status := program(t.Context(), []string{"--help"}, io.Discard, &help); status != 0 {
		t.Errorf("exit status %d", status)
	}
	for _, flag := range []string{"Usage:", "-dir", "-data", "-address", "-json", "-ledger", "-writers", "-rate"} {
		if !strings.Contains(help.String(), flag) {
			t.Errorf("help does not mention %s", flag)
		}
	}
	for _, args := range [][]string{{"--nonsense"}, {"extra"}, {"--writers", "0"}, {"--rate", "-1"}, {"--dir", ""}} {
		var text bytes.Buffer
		if status := program(t.Context(), args, io.Discard, &text); status != 2 || !strings.Contains(text.String(), strings.TrimLeft(args[0], "-")) {
			t.Errorf("%v: exit status %d, %q", args, status, text.String())
		}
	}
}

// A stop ends cleanly and is not a failure; the next run goes on.
func TestStopAndGoOn(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := &watcher{want: regexp.MustCompile(`[1-9]\d* events applied`), seen: cancel}
	if status := program(ctx, []string{"--dir", dir, "--ledger", "--rate", "3000"}, io.Discard, said); status != 130 {
		t.Errorf("exit status %d: %s", status, said.text.String())
	}
	if !strings.Contains(said.text.String(), "stopped; run it again") {
		t.Errorf("said %q", said.text.String())
	}
	second := succeed(t, "--dir", dir, "--ledger")
	wantTruth(t, second)
	if !second.Resumed || second.EventsApplied == 0 || second.EventsApplied >= weekEvents {
		t.Errorf("the second run says %+v", second)
	}
	wantLedger(t, dir)
}

// watcher calls a function whenever some text was written.
type watcher struct {
	mu   sync.Mutex
	text strings.Builder
	want *regexp.Regexp
	seen func()
}

func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	if w.want.Match(b) {
		w.seen() // at once, so that work is left
	}
	return len(b), nil
}

func TestProgressBar(t *testing.T) {
	var to bytes.Buffer
	g := newGoal(nil)
	show, end := bar(&to, g, 100)
	g.wrote(&batch{flights: 40}, 1)
	show()
	end()
	if !strings.Contains(to.String(), "40/100") || !strings.Contains(to.String(), "0 events applied") {
		t.Errorf("drew %q", to.String())
	}
}

func since(start time.Time) time.Duration { return time.Since(start).Round(time.Millisecond) }

// findsNoLeak waits for what ends in its own time.
func findsNoLeak() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := goleak.Find()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
