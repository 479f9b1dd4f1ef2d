package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The whole program, node, writers and projection, is killed at random
// instants, and started again each time. When it is let finish, totals and
// ledger are those of a run that nothing happened to.
//
//covers:g5 g12 killed
func TestKilledAtAnyInstant(t *testing.T) {
	kills := 30
	if testing.Short() {
		kills = 3
	}
	path := buildBinary(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	start := time.Now()
	if out, err := flightsCommand(path, t.TempDir()).Output(); err != nil {
		t.Fatal(err)
	} else {
		wantTruth(t, parseTotals(t, string(out)))
	}
	whole := time.Since(start)
	length := whole // of the instants kills are drawn from

	killed, atWork := 0, 0
	enough := func() bool { return killed >= kills && (atWork >= kills/10 || killed >= 4*kills) }
	for round := 0; !enough(); round++ {
		dir := t.TempDir()
		for !enough() {
			before := applied(t, dir)
			if !killAfter(t, path, dir, time.Duration(rng.Int64N(int64(length)))) {
				break // it had finished before
			}
			killed++
			if after := applied(t, dir); after > before && after < weekBatches {
				atWork++
			} else if after == before {
				length += length / 16 // it has become slower, or was killed early
			}
		}
		start := time.Now()
		out, err := flightsCommand(path, dir).Output()
		if err != nil {
			t.Fatalf("round %d: %v: %s", round, err, stderrOf(err))
		}
		length = min(length, max(time.Since(start), whole))
		wantTruth(t, parseTotals(t, string(out)))
		wantLedger(t, dir)
		if n := storedBatches(t, dir); n != weekBatches {
			t.Errorf("round %d: %d batches are stored, want %d", round, n, weekBatches)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("killed %d times, %d of them while batches were being applied; a whole run takes %v", killed, atWork, whole)
	if atWork < kills/10 {
		t.Errorf("only %d of %d kills hit work that flowed", atWork, killed)
	}
}

func flightsCommand(path, dir string) *exec.Cmd {
	return exec.Command(path, "--dir", dir, "--ledger", "--json")
}

// killAfter starts the program and kills it; false when it was faster.
func killAfter(t *testing.T, path, dir string, after time.Duration) bool {
	t.Helper()
	cmd := flightsCommand(path, dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("it failed by itself: %v: %s", err, said.String())
	}
	return true
}

// applied counts the rows of the ledger, if there is one yet.
func applied(t *testing.T, dir string) int {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "flights.db")); err != nil {
		return 0
	}
	db := open(t, dir)
	defer db.Close()
	if number(t, db, "SELECT count(*) FROM sqlite_master WHERE name = 'ledger'") == 0 {
		return 0
	}
	return number(t, db, "SELECT count(*) FROM ledger")
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}
