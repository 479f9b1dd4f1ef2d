package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

const twoEvents = `{"text":"one","timestamp":5,"event_id":9,"iv":"AQIDAAAAAAAAAAAA"}

{"json":{"n": 2},"timestamp":6,"major":3,"minor":4,"client_seq":20}
`

func TestWhatIsWrittenIsRead(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	told := lastLine(t, ok(t, node, twoEvents, "write", with(key7, "--client-id", "7", "--user-id", "8", "--batch", "5", "--json")...))
	for name, want := range map[string]any{"lines": 2.0, "writes": 1.0, "version": 1.0, "client_id": client7, "aggregate": client7} {
		if told[name] != want {
			t.Errorf("%s is %v, want %v", name, told[name], want)
		}
	}
	got := ok(t, node, "", "read", with(key7, "--json")...)
	begin, rest, _ := strings.Cut(got, `"server_timestamp":`)
	_, rest, _ = strings.Cut(rest, ",")
	if want := `{"org":"00000000-0000-0000-0000-000000000001","type":"00000000-0000-0000-0000-000000000002","aggregate":"` + client7 + `","version":1,`; begin != want {
		t.Errorf("the batch begins with %s, want %s", begin, want)
	}
	if want := `"client_id":"` + client7 + `","user_id":"00000000-0000-0000-0000-000000000008","events":[` +
		`{"event_seq":1,"client_seq":1,"event_id":"00000000-0000-0000-0000-000000000009","timestamp":5,"major":1,"minor":0,"iv":"AQIDAAAAAAAAAAAA","value":"b25l"},` +
		`{"event_seq":2,"client_seq":20,"timestamp":6,"major":3,"minor":4,"value":"eyJuIjogMn0="}]}` + "\n"; rest != want {
		t.Errorf("the batch ends with\n%s, want\n%s", rest, want)
	}
	text := ok(t, node, "", "read", key7...)
	if want := "1\t1\t1.0\t" + client7 + "\t1\tbase64:b25l\n1\t2\t3.4\t" + client7 + "\t20\t{\"n\": 2}\n"; text != want {
		t.Errorf("as text %q, want %q", text, want)
	}
}

func TestWriteFromFileInBatches(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	file := filepath.Join(t.TempDir(), "events")
	var text strings.Builder
	for n := range 7 {
		fmt.Fprintf(&text, "{\"text\":\"%d\"}\n", n)
	}
	if err := os.WriteFile(file, []byte(strings.TrimSuffix(text.String(), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	got := ok(t, node, "", "write", with(key7, "--batch", "3", "--client-id", "7", file)...)
	if want := "wrote 7 events in 3 writes as client " + client7 + ", the last one version 3 of " + aggregate(7).String() + "\n"; got != want {
		t.Errorf("write says %q, want %q", got, want)
	}
	if got, want := values(t, connect(t, node.Addr()), aggregate(7)), "1:0 1:1 1:2 2:3 2:4 2:5 3:6"; got != want {
		t.Errorf("written %q, want %q", got, want)
	}
	fails(t, node, "", 1, file+"2", "write", with(key7, file+"2")...)
}

func TestWriteToSeveralAggregates(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	lines := `{"text":"a","aggregate":1}` + "\n" + `{"text":"b","aggregate":"1"}` + "\n" + `{"text":"c"}` + "\n" + `{"text":"d","aggregate":1}` + "\n"
	if told := lastLine(t, ok(t, node, lines, "write", with(key7, "--batch", "9", "--json")...)); told["writes"] != 3.0 || told["lines"] != 4.0 {
		t.Errorf("write says %v", told)
	}
	client := connect(t, node.Addr())
	if got := values(t, client, aggregate(1)) + "|" + values(t, client, aggregate(7)); got != "1:a 1:b 2:d|1:c" {
		t.Errorf("written %q", got)
	}
}

func TestWriteEndsAtTheFirstFault(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	r := fails(t, node, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n{\"txt\":1}\n{\"text\":\"e\"}\n", 1, `line 4: there is no field "txt"`,
		"write", with(key7, "--batch", "2", "--json")...)
	if told := lastLine(t, r.stdout); told["lines"] != 3.0 || told["version"] != 2.0 {
		t.Errorf("write says %v, want the 3 lines before the fault", told)
	}
	if got := values(t, connect(t, node.Addr()), aggregate(7)); got != "1:a 1:b 2:c" {
		t.Errorf("written %q", got)
	}
	fails(t, node, `{"text":"a","major":0}`, 1, "line 1: field major is 0", "write", key7...)
	fails(t, node, `{"text":"`+strings.Repeat("x", 17<<20), 1, "line 1 is longer than 16777216 bytes", "write", key7...)
}

func TestWriteExpectedVersion(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	three := "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n"
	if told := lastLine(t, ok(t, node, three, "write", with(key7, "--expected-version", "0", "--json")...)); told["version"] != 3.0 {
		t.Errorf("write says %v", told)
	}
	r := fails(t, node, three, 5, "lines 1 to 1: ", "write", with(key7, "--expected-version", "2", "--json")...)
	if told := lastLine(t, r.stdout); told["lines"] != 0.0 {
		t.Errorf("write says %v", told)
	}
	fails(t, node, `{"text":"a"}`+"\n"+`{"text":"a","aggregate":8}`, 2, "--expected-version is for one aggregate", "write", with(key7, "--expected-version", "3")...)
}

func TestWriteIdempotent(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	args := with(key7, "--idempotent", "--client-id", "7")
	ok(t, node, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n", "write", args...)
	fails(t, node, "{\"text\":\"a\"}\n", 5, "already stored", "write", args...)
	ok(t, node, "{\"text\":\"c\"}\n", "write", with(args, "--first-client-seq", "3")...)
	if got := values(t, connect(t, node.Addr()), aggregate(7)); got != "1:a 2:b 3:c" {
		t.Errorf("written %q", got)
	}
}

func TestWriteWhoseOutcomeIsUnknown(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	cutAnswers(node, msg.TypeWriteRequest)
	r := fails(t, node, `{"text":"a"}`, 3, "outcome unknown", "write", with(key7, "--json")...)
	if told := lastLine(t, r.stdout); told["lines"] != 0.0 {
		t.Errorf("write says %v, but nothing was acknowledged", told)
	}
}

func TestWriteTellsItsProgress(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{CommitDelay: 400_000_000})
	r := at(t, node, strings.Repeat("{\"text\":\"a\"}\n", 4), "write", with(key7, "--progress")...)
	if r.status != 0 || !strings.HasPrefix(r.stderr, "celeriant write: ") || !strings.Contains(r.stderr, " events in ") {
		t.Errorf("status %d, stderr %q", r.status, r.stderr)
	}
}

func TestWriteMisused(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	for want, args := range map[string][]string{
		"--batch is 0":                           with(key7, "--batch", "0"),
		"--major is 0":                           with(key7, "--major", "0"),
		"--idempotent needs --client-id":         with(key7, "--idempotent"),
		"neither a field org nor the flag --org": nil,
		`"x" is no number`:                       with(key7, "--expected-version", "x"),
		"accepts at most 1 arg":                  with(key7, "a", "b"),
	} {
		fails(t, node, `{"text":"a"}`, 2, want, "write", args...)
	}
	fails(t, node, `{"text":"a"}`, 4, "aggregate missing", "write", with(key7, "--deny-create")...)
}

// A batch that no request can hold is refused before all of it is collected.
func TestWriteBoundsWhatItCollects(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	line := `{"text":"` + strings.Repeat("x", 2_000_000) + `"}` + "\n"
	fails(t, node, strings.Repeat(line, 9), 1, "lines 1 to 6: ", "write", with(key7, "--batch", "1000")...)
	if told := lastLine(t, ok(t, node, strings.Repeat(line, 8), "write", with(key7, "--batch", "4", "--json")...)); told["writes"] != 2.0 {
		t.Errorf("8 lines in batches of 4: %v", told)
	}
}

// An interrupt ends the wait for more input, and what was written is told.
func TestWriteInterrupted(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{CommitDelay: 1100 * time.Millisecond})
	c := exec.CommandContext(t.Context(), binary, append([]string{"write", "--address", node.Addr(), "--progress", "--json"}, key7...)...)
	var stdout bytes.Buffer
	c.Stdout = &stdout
	stdin, stderr := must(c.StdinPipe())(t), must(c.StderrPipe())(t)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	fmt.Fprintln(stdin, `{"text":"a"}`)
	told := bufio.NewReader(stderr)
	if line, err := told.ReadString('\n'); err != nil || line != "celeriant write: 1 event in 1 write\n" {
		t.Fatalf("progress %q, %v", line, err)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(told)
	c.Wait()
	if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(rest), "waiting for input") {
		t.Errorf("status %d, stderr %q", c.ProcessState.ExitCode(), rest)
	}
	if told := lastLine(t, stdout.String()); told["lines"] != 1.0 {
		t.Errorf("write says %v", told)
	}
}

func TestWriteTakesAByteOrderMarkAtTheBeginning(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	file := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(file, []byte("\xef\xbb\xbf{\"text\":\"a\"}\r\n\r\n{\"text\":\"b\"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, "write", "--address", node.Addr(), "--org", "1", "--type", "1", "--aggregate", "1", file)
	if r.status != 0 || !strings.Contains(r.stdout, "wrote 2 events") {
		t.Errorf("status %d, stdout %q, stderr %q", r.status, r.stdout, r.stderr)
	}
}
