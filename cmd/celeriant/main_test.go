package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/celeriant/celeriant-go/internal/quick"
)

// binary is the built tool.
var binary string

// atEnd ends what tests share; the tests that begin it do so one after the other.
var atEnd []func() error

// waiting is how many of the tests that wait more than they work wait at a time.
const waiting = 8

func TestMain(m *testing.M) {
	quick.LeaveOut(
		"TestBenchEndsAtTheFirstFailure", "TestBenchLive", "TestBenchWrite", "TestChangesWhoseOutcomeIsUnknown",
		"TestCheckpointsMoveBetweenStores", "TestConsumersArePausedAndResumed", "TestConsumersPauseAndRedoAcrossProcesses",
		"TestDevPair", "TestDevRefusesTLSThatCannotWork", "TestDevSpeaksTLS", "TestForwardContinuesFromEveryPlace",
		"TestForwardDeliversEverythingInOrderAndParksWhatIsRefused", "TestForwardKilledAgainAndAgainLosesNothing",
		"TestForwardRefuses", "TestForwardStorm", "TestIdentity", "TestListGoesOnWhenTheLeaderIsKilled", "TestPlaces",
		"TestPlacesHideSecrets", "TestReadFilters", "TestRebuildsCutOverAndRollBack", "TestSchemaRegister",
		"TestStatusWatchesUntilInterrupted", "TestTLS", "TestWatchEndsAlthoughItsReaderSleeps",
		"TestWatchEndsWhenItCannotWrite", "TestWatchEndsWithItsReader", "TestWatchGoesOnWhenTheLeaderIsKilled",
		"TestWatchKilledInTheMiddleLosesNothing", "TestWatchRefuses", "TestWatchResumes",
		"TestWatchStoppedInTheMiddleRepeatsNothing", "TestWatchStoppedUnderWrites", "TestWatchTellsStatesAndProgress",
		"TestWriteBoundsWhatItCollects", "TestWriteEndsAtTheFirstFault", "TestWriteGoesOnWhenTheLeaderIsKilled",
		"TestWriteInterrupted", "TestWriteTellsItsProgress",
	)
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue {
		_ = n.Value.Set(strconv.Itoa(waiting))
	}
	folder, err := os.MkdirTemp("", "celeriant")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(folder, "celeriant")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the tool: %v\n%s", err, out)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		// Reads what a server says that tests share, which ends with them.
		goleak.IgnoreAnyFunction("github.com/celeriant/celeriant-go/internal/dbtest.(*Process).Start.func1"),
		goleak.Cleanup(func(code int) {
			for _, end := range atEnd {
				if err := end(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
			os.RemoveAll(folder)
			os.Exit(code)
		}))
}

// result is what a finished command left.
type result struct {
	status         int
	stdout, stderr string
}

// command runs the tool to its end.
func command(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, binary, args...)
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("celeriant %s: %v (%s)", strings.Join(args, " "), err, stderr.String())
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// process is a running dev node.
type process struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	first  string // its first line
	rest   chan string
}

// startDev starts a dev node and waits for its first line. The node is killed
// with the test if it still runs.
func startDev(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, append([]string{"dev"}, args...)...), stderr: new(bytes.Buffer), rest: make(chan string, 1)}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.stop(t, os.Kill)
		}
	})
	// A node that never says anything must not hang the tests.
	giveUp := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
	defer giveUp.Stop()
	lines := bufio.NewReader(stdout)
	if p.first, err = lines.ReadString('\n'); err != nil {
		p.cmd.Wait()
		t.Fatalf("dev said nothing: %v (%s)", err, p.stderr)
	}
	go func() {
		rest, _ := io.ReadAll(lines)
		p.rest <- string(rest)
	}()
	return p
}

// stop sends a signal, waits for the end and returns the exit status, -1 after
// a kill.
func (p *process) stop(t testing.TB, s os.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	giveUp := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
	defer giveUp.Stop()
	if rest := <-p.rest; rest != "" { // Wait closes the pipe: read it to its end first
		t.Errorf("dev printed more than its address: %q", rest)
	}
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// told is the line of --json.
type told struct {
	Address     string `json:"address"`
	Shards      int    `json:"shards"`
	RoutingRule string `json:"routing_rule"`
	Reserve     bool   `json:"reserve_coordinator_shard"`
	DataRoot    string `json:"data_root"`
	Quirks      bool   `json:"quirks"`
}

func (p *process) told(t testing.TB) told {
	t.Helper()
	var line told
	d := json.NewDecoder(strings.NewReader(p.first))
	d.DisallowUnknownFields()
	if err := d.Decode(&line); err != nil {
		t.Fatalf("line %q: %v", p.first, err)
	}
	return line
}

// fewer returns a third of a count with -short, at least one.
func fewer(count int) int {
	if testing.Short() {
		return max(count/3, 1)
	}
	return count
}
