package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const (
	flood       = 12_000 // batches, of
	floodedBy   = 40     // aggregates
	floodBytes  = 100
	mostRepeats = 512 // after a kill, see the help
)

// flooded is a node with enough to print for a watch to be interrupted in
// the middle, again and again.
func flooded(t *testing.T) *celerianttest.Node {
	t.Helper()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	client := connect(t, node.Addr())
	events := make([]msg.Event, 1)
	for a := range uint64(floodedBy) {
		request := &msg.WriteRequest{ClientID: writer}
		for v := range uint64(flood / floodedBy) {
			events[0] = msg.Event{ClientSeq: v + 1, Major: 1, Value: []byte(strings.Repeat("x", floodBytes))}
			request.Writes = []msg.AggregateWrite{{Key: aggregate(a), Events: events}}
			if _, err := client.Write(t.Context(), request); err != nil {
				t.Fatal(err)
			}
		}
	}
	return node
}

// ledger is what several watches, one after another, have printed.
type ledger struct {
	t        *testing.T
	versions map[msg.Key]uint64 // the highest printed
	printed  int                // batches, each once
	repeated int
}

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, versions: make(map[msg.Key]uint64)}
}

// take takes in the lines of one watch. Repeats are allowed before what is new
// of an aggregate, and up to a number in all watches together; a gap never is.
func (l *ledger) take(lines []string, repeats int) {
	l.t.Helper()
	seen := make(map[msg.Key]uint64)
	for _, line := range lines {
		c, err := parseChange(line)
		if err != nil {
			l.t.Fatalf("line %q: %v", line, err)
		}
		if c.Kind == "caught_up" {
			continue
		}
		if c.Kind != "batch" {
			l.t.Fatalf("printed %v", &c)
		}
		known := l.versions[c.key()]
		if last := seen[c.key()]; last > 0 && c.Version != last+1 || c.Version > known+1 {
			l.t.Fatalf("%v after version %d, and %d in this run", &c, known, last)
		}
		seen[c.key()] = c.Version
		if c.Version <= known {
			l.repeated++
			continue
		}
		l.versions[c.key()] = c.Version
		l.printed++
	}
	if l.repeated > repeats {
		l.t.Errorf("%d batches came again, at most %d may", l.repeated, repeats)
	}
}

// readSome reads the next n lines, which must be to come: a watch that has
// caught up prints no more.
func readSome(w *watching, n int) []string {
	w.t.Helper()
	var lines []string
	for len(lines) < n {
		select {
		case line, more := <-w.lines:
			if !more {
				return lines
			}
			lines = append(lines, line)
		case <-time.After(30 * time.Second):
			w.t.Fatalf("nothing comes: %s", w.stderr)
		}
	}
	return lines
}

// finish runs a watch to where it has caught up.
func (l *ledger) finish(repeats int, args ...string) {
	l.t.Helper()
	w := startWatch(l.t, args...)
	var lines []string
	for len(lines) == 0 || lines[len(lines)-1] != `{"kind":"caught_up"}` {
		lines = append(lines, readSome(w, 1)...)
	}
	w.ends(os.Interrupt)
	l.take(lines, repeats)
	if l.printed != flood {
		l.t.Errorf("%d batches were printed, want %d", l.printed, flood)
	}
}

// hangup is SIGHUP, unless these tests run under nohup, which the command obeys.
func hangup() os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return syscall.SIGTERM
	}
	return syscall.SIGHUP
}

// Stopped by a signal in the middle, again and again, every batch is printed
// once.
func TestWatchStoppedInTheMiddleRepeatsNothing(t *testing.T) {
	node := flooded(t)
	for _, place := range []string{"file:" + t.TempDir(), "sqlite:" + t.TempDir() + "/db"} {
		inTheMiddle(t, func(name string) bool {
			args := []string{"--address", node.Addr(), "--checkpoint", place, "--name", name}
			l := newLedger(t)
			stops := 0
			for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, hangup(), os.Interrupt} {
				if l.printed == flood {
					break
				}
				w := startWatch(t, args...)
				lines := readSome(w, 1+rand.IntN(min(500, flood-l.printed)))
				status, rest := w.stop(s)
				if status != 0 || w.torn != "" {
					t.Errorf("after %v: status %d, torn %q (%s)", s, status, w.torn, w.stderr)
				}
				l.take(append(lines, rest...), 0)
				if l.printed < flood {
					stops++
				}
			}
			l.finish(0, args...)
			return stops > 0
		})
	}
}

// inTheMiddle repeats, each time from the beginning under another name, what
// interrupts a watch, until it came in the middle: where the test gets its turn
// late, the watch has printed all by then.
func inTheMiddle(t *testing.T, interrupted func(name string) bool) {
	t.Helper()
	for n := range 20 {
		if interrupted(fmt.Sprint("attempt-", n)) || t.Failed() {
			return
		}
	}
	t.Error("no signal came in the middle")
}

// Killed in the middle, again and again, nothing is left out, and after each
// kill only the last lines come again.
//
//covers:killed
func TestWatchKilledInTheMiddleLosesNothing(t *testing.T) {
	node := flooded(t)
	for _, place := range []string{"file:" + t.TempDir(), "sqlite:" + t.TempDir() + "/db"} {
		inTheMiddle(t, func(name string) bool {
			args := []string{"--address", node.Addr(), "--checkpoint", place, "--name", name}
			l := newLedger(t)
			kills, middle := 0, 0
			for ; kills < 12 && l.printed < flood; kills++ {
				w := startWatch(t, args...)
				lines := readSome(w, 1+rand.IntN(min(1500, flood-l.printed)))
				status, rest := w.stop(os.Kill)
				if status != -1 {
					t.Fatalf("status %d, %s", status, w.stderr)
				}
				l.take(append(lines, rest...), kills*mostRepeats)
				if l.printed < flood {
					middle++
				}
			}
			l.finish(kills*mostRepeats, args...)
			t.Logf("%s killed %d times, %d of them in the middle, %d batches came again", strings.SplitN(place, ":", 2)[0], kills, middle, l.repeated)
			return middle > 0
		})
	}
}

// pipedWatch starts a watch that writes into a pipe nobody empties yet.
func pipedWatch(t *testing.T, args ...string) (*exec.Cmd, *os.File, *safeBuffer) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	cmd := exec.Command(binary, append([]string{"watch", "--json"}, args...)...)
	stderr := new(safeBuffer)
	cmd.Stdout, cmd.Stderr = out, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd, in, stderr
}

func linesOf(t *testing.T, in *os.File, n int) (lines []string) {
	t.Helper()
	for scanner := bufio.NewScanner(in); n != 0 && scanner.Scan(); n-- {
		lines = append(lines, scanner.Text())
	}
	return lines
}

// waitFor waits for a command with a time limit.
func waitFor(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	giveUp := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer giveUp.Stop()
	cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// A reader that has gone ends the watch, quietly. Lines that the reader was given
// are not repeated; those that it has not read went with it, no more than a
// pipe holds.
func TestWatchEndsWithItsReader(t *testing.T) {
	node := flooded(t)
	args := []string{"--address", node.Addr(), "--checkpoint", "file:" + t.TempDir()}
	cmd, in, stderr := pipedWatch(t, args...)
	read := linesOf(t, in, 50)
	in.Close()
	if status := waitFor(t, cmd); status != 0 || strings.Contains(stderr.String(), "broken pipe") {
		t.Fatalf("status %d, %s", status, stderr)
	}
	seen := make(map[string]bool)
	for _, line := range read {
		seen[line] = true
	}
	w := startWatch(t, args...)
	again, rest := 0, 0
	for {
		line := readSome(w, 1)[0]
		if line == `{"kind":"caught_up"}` {
			break
		}
		rest++
		if seen[line] {
			again++
		}
	}
	w.ends(os.Interrupt)
	if again > 0 || rest+len(read) > flood || rest < flood-1000 {
		t.Errorf("%d lines were read, then %d followed, of which %d again", len(read), rest, again)
	}
}

// A reader that has stopped reading does not hold up the end for long, and
// what it finds when it reads on is what counts as printed.
func TestWatchEndsAlthoughItsReaderSleeps(t *testing.T) {
	t.Parallel() // it waits more than it works
	node := flooded(t)
	args := []string{"--address", node.Addr(), "--checkpoint", "file:" + t.TempDir()}
	l := newLedger(t)
	for {
		cmd, in, stderr := pipedWatch(t, append(args, "--progress")...)
		for !stuckFor(t, stderr.String()) {
			time.Sleep(20 * time.Millisecond)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		status := waitFor(t, cmd)
		lines := linesOf(t, in, -1)
		if _, err := parseChange(lines[len(lines)-1]); err != nil {
			lines = lines[:len(lines)-1] // torn
		}
		l.take(lines, 0)
		if status == 0 && l.printed < flood/2 {
			continue // it was slow, and not stuck yet
		}
		if status != 1 || !strings.Contains(stderr.String(), "nobody reads on") {
			t.Errorf("status %d, %s", status, stderr)
		}
		break
	}
	l.finish(0, args...)
}

// stuckFor reports whether the last two lines of progress tell of as many
// changes, and of some.
func stuckFor(t *testing.T, stderr string) bool {
	var last, before uint64
	for line := range strings.Lines(stderr) {
		var r reported
		if !strings.HasSuffix(line, "\n") {
			break // not whole yet
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if r.Report == "progress" {
			last, before = r.Changes, last
		}
	}
	return last > 0 && last == before
}

// A write that fails ends the watch with an error, and counts as not printed.
func TestWatchEndsWhenItCannotWrite(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	node := flooded(t)
	args := []string{"--address", node.Addr(), "--checkpoint", "file:" + t.TempDir()}
	cmd := exec.Command(binary, append([]string{"watch", "--json"}, args...)...)
	stderr := new(safeBuffer)
	cmd.Stdout, cmd.Stderr = full, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if status := waitFor(t, cmd); status != 1 || !strings.Contains(stderr.String(), "writing to standard output: write /dev/stdout: no space left on device") {
		t.Errorf("status %d, %s", status, stderr)
	}
	newLedger(t).finish(0, args...)
}

// Writes go on while a watch is stopped and started: what is committed in
// between is printed once.
func TestWatchStoppedUnderWrites(t *testing.T) {
	t.Parallel() // it waits more than it works
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	args := []string{"--address", node.Addr(), "--checkpoint", "sqlite:" + t.TempDir() + "/db"}
	batches := fewer(1500)
	client := connect(t, node.Addr())
	written := make(chan error, 1)
	go func() {
		for n := range batches {
			event := msg.Event{ClientSeq: uint64(n + 1), Major: 1, Value: fmt.Append(nil, n)}
			if _, err := client.WriteEvents(context.Background(), aggregate(uint64(n%7)), []msg.Event{event}, writer, pool.WriteOptions{}); err != nil {
				written <- err
				return
			}
			time.Sleep(time.Millisecond) // so that it lasts
		}
		written <- nil
	}()
	l := newLedger(t)
	runs := 0
	for ; l.printed < batches; runs++ {
		w := startWatch(t, args...)
		lines := readSome(w, 1+min(batches-l.printed-1, rand.IntN(300)))
		status, rest := w.stop(os.Interrupt)
		if status != 0 {
			t.Fatalf("status %d, %s", status, w.stderr)
		}
		l.take(append(lines, rest...), 0)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	t.Logf("%d watches one after another", runs)
}
