package main_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// devPair is a running dev --pair.
type devPair struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	A, B    string
	Control string
	Shards  int
	Quirks  bool
}

func startPair(t *testing.T, args ...string) *devPair {
	t.Helper()
	p := &devPair{t: t, cmd: exec.Command(binary, append([]string{"dev", "--pair", "--client-port", "0", "--json"}, args...)...)}
	p.cmd.Stderr = os.Stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	giveUp := time.AfterFunc(5*time.Minute, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
		giveUp.Stop()
	})
	p.out = bufio.NewReader(stdout)
	p.line(p)
	return p
}

// line reads one line of JSON.
func (p *devPair) line(into any) {
	p.t.Helper()
	text, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("instead of a line: %v", err)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		p.t.Fatalf("line %q: %v", text, err)
	}
}

// commanded is the answer to a command: a state or an error.
type commanded struct {
	celerianttest.PairState
	Error string
}

// enter types a command.
func (p *devPair) enter(text string) (answer commanded) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text+"\n"); err != nil {
		p.t.Fatal(err)
	}
	p.line(&answer)
	return answer
}

// post sends a command, or asks for the state if it is empty.
func (p *devPair) post(text, origin string) (status int, answer commanded) {
	p.t.Helper()
	method := http.MethodPost
	if text == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.Control, strings.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// until asks for the state until it is as wanted.
func (p *devPair) until(want string, is func(celerianttest.PairState) bool) {
	p.t.Helper()
	for range 3000 {
		if is(p.enter("state").PairState) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Fatalf("the pair never was %s: %+v", want, p.enter("state"))
}

func TestDevPair(t *testing.T) {
	p := startPair(t, "--num-shards", "2", "--quirks")
	if p.Shards != 2 || !p.Quirks || p.A == p.B {
		t.Errorf("told %+v", p)
	}
	a, b := connect(t, p.A), connect(t, p.B)
	write(t, a, aggregate(1), "first")
	if s := p.enter("failover"); s.Error != "" || s.Leader != "B" {
		t.Errorf("after a fail-over %+v", s)
	}
	if v := write(t, b, aggregate(1), "second"); v != 2 {
		t.Errorf("the new leader wrote version %d", v)
	}
	p.until("joined", func(s celerianttest.PairState) bool { return s.Nodes[0].State == "follower" && s.Nodes[0].Shown == 2 })
	if got := values(t, a, aggregate(1)); got != "1:first 2:second" {
		t.Errorf("the old leader reads %q", got)
	}
	if status, s := p.post("kill leader", ""); status != http.StatusOK || s.Nodes[1].State != "down" {
		t.Errorf("killing gives %d %+v", status, s)
	}
	p.until("taken over", func(s celerianttest.PairState) bool { return s.Leader == "A" })
	if v := write(t, a, aggregate(1), "third"); v != 3 {
		t.Errorf("the survivor wrote version %d", v)
	}
}

// TestPairCommands: each does what it says, seen in the state it answers with.
func TestPairCommands(t *testing.T) {
	p := startPair(t)
	state := func(i int, want ...string) func(commanded) bool {
		return func(s commanded) bool { return slices.Contains(want, s.Nodes[i].State) }
	}
	for _, c := range []struct {
		text string
		is   func(commanded) bool
	}{
		{"lag 1500ms", func(s commanded) bool { return s.Lag == 1500 }},
		{"FREEZE", func(s commanded) bool { return s.Frozen }},
		{"thaw", func(s commanded) bool { return !s.Frozen }},
		{"hold", func(s commanded) bool { return s.Held }},
		{"release", func(s commanded) bool { return !s.Held }},
		{"hint stale", func(s commanded) bool { return s.Hint == celerianttest.HintStale }},
		{"hint absent", func(s commanded) bool { return s.Hint == celerianttest.HintAbsent }},
		{"hint 0.0.0.0:10000", func(s commanded) bool { return s.Hint == "0.0.0.0:10000" }},
		{"hint live", func(s commanded) bool { return s.Hint == "" }},
		{"pause follower", state(1, "paused")},
		{"resume b", state(1, "waiting", "follower")}, // soon it follows
		{"cut", func(s commanded) bool { return s.Cut }},
		{"restore", func(s commanded) bool { return !s.Cut }},
		{"kill b", state(1, "down")},
		{"restart b", state(1, "waiting", "follower")},
	} {
		if s := p.enter(c.text); s.Error != "" || !c.is(s) {
			t.Errorf("%s: %+v", c.text, s)
		}
	}
	// One of the nodes takes over a second later.
	for fenced := false; !fenced; {
		p.until("led", func(s celerianttest.PairState) bool { return s.Leader != "" })
		s := p.enter("fence leader")
		fenced = s.Error == "" && s.Leader == ""
	}
	p.enter("kill a")
	p.enter("kill b") // there is no leader for good
	for _, text := range []string{"dance", "kill", "kill c", "lag", "lag soon", "lag -1s", "hint", "hint me", "failover now", "pause leader"} {
		if s := p.enter(text); s.Error == "" {
			t.Errorf("%s: %+v", text, s)
		}
		if status, s := p.post(text, ""); status != http.StatusBadRequest || s.Error == "" {
			t.Errorf("%s: %d %+v", text, status, s)
		}
	}
	if s := p.enter("help"); !strings.Contains(s.Error, "failover") {
		t.Errorf("help: %+v", s)
	}
	if status, s := p.post("", ""); status != http.StatusOK || len(s.Nodes) != 2 {
		t.Errorf("the state: %d %+v", status, s)
	}
	if status, _ := p.post("kill b", "https://example.org"); status != http.StatusForbidden {
		t.Errorf("a web page gets %d", status)
	}
	if status, _ := p.post(strings.Repeat("x", 2000), ""); status != http.StatusBadRequest {
		t.Errorf("a long command gets %d", status)
	}
}

// TestDevPairEnds at a signal, with its input open or at its end.
func TestDevPairEnds(t *testing.T) {
	for _, closes := range []bool{false, true} {
		p := startPair(t)
		if closes {
			p.in.Close()
		}
		if status, s := p.post("", ""); status != http.StatusOK || s.Leader != "A" {
			t.Errorf("%d %+v", status, s)
		}
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if rest, _ := io.ReadAll(p.out); len(rest) > 0 {
			t.Errorf("it said %q", rest)
		}
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestDevPairRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"DataRoot":        {"--data-root", t.TempDir()},
		"--pair":          {"--control-port", "0"},
		"needs a value":   {"--pair", "--control-port"},
		"no port after":   {"--pair", "--client-port", "65535"},
		"unknown port":    {"--pair", "--control-port", "x"},
		"address already": {"--pair", "--control-port", strings.TrimPrefix(startPair(t).Control, "http://127.0.0.1:")},
	} {
		if want == "DataRoot" {
			args = append(args, "--pair")
		}
		args = append([]string{"dev", "--client-port", "0"}, args...)
		status := 1
		if want == "DataRoot" || want == "--pair" || want == "needs a value" {
			status = 2
		}
		if r := command(t, args...); r.status != status || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: status %d, %q, want status %d", args, r.status, r.stderr, status)
		}
	}
}
