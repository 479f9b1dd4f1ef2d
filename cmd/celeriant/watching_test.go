package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// change is a line of watch --json.
type change struct {
	Kind            string       `json:"kind"`
	Org             *msg.ID      `json:"org"`
	Type            *msg.ID      `json:"type"`
	Aggregate       *msg.ID      `json:"aggregate"`
	Version         uint64       `json:"version"`
	From            uint64       `json:"from"`
	To              uint64       `json:"to"`
	ServerTimestamp uint64       `json:"server_timestamp"`
	ClientID        *msg.ID      `json:"client_id"`
	UserID          *msg.ID      `json:"user_id"`
	Events          []eventOfOne `json:"events"`
}

type eventOfOne struct {
	EventSeq  uint64  `json:"event_seq"`
	ClientSeq uint64  `json:"client_seq"`
	EventID   *msg.ID `json:"event_id"`
	Timestamp uint64  `json:"timestamp"`
	Major     uint64  `json:"major"`
	Minor     uint64  `json:"minor"`
	IV        []byte  `json:"iv"`
	Value     []byte  `json:"value"`
}

func (c *change) key() msg.Key { return msg.Key{Org: *c.Org, Type: *c.Type, Aggregate: *c.Aggregate} }

// String is the change in short: kind, low part of the aggregate's id, version
// and values.
func (c *change) String() string {
	if c.Kind == "caught_up" {
		return "caught up"
	}
	name := fmt.Sprintf("%s %d", c.Kind, c.Aggregate[15])
	switch c.Kind {
	case "truncated":
		return fmt.Sprintf("%s %d-%d", name, c.From, c.To)
	case "unreadable":
		return fmt.Sprintf("%s.%d", name, c.Version)
	case "batch":
		name = fmt.Sprintf("%d.%d", c.Aggregate[15], c.Version)
		for _, e := range c.Events {
			name += " " + string(e.Value)
		}
	}
	return name
}

// batch is what the line says about a batch.
func (c *change) batch() msg.Batch {
	b := msg.Batch{Version: c.Version, ClientID: *c.ClientID, UserID: option(c.UserID), ServerTimestamp: c.ServerTimestamp}
	for _, e := range c.Events {
		event := msg.Event{ClientSeq: e.ClientSeq, EventSeq: e.EventSeq, EventID: option(e.EventID), Timestamp: e.Timestamp,
			Major: e.Major, Minor: e.Minor, Value: e.Value}
		if e.IV != nil {
			event.IV = msg.Some(msg.IV(e.IV))
		}
		b.Events = append(b.Events, event)
	}
	return b
}

func option[T any](v *T) msg.Opt[T] {
	if v == nil {
		return msg.None[T]()
	}
	return msg.Some(*v)
}

func parseChange(text string) (change, error) {
	var c change
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&c)
	return c, err
}

// watching is a running watch --json.
type watching struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string // whole lines; closed at the end
	torn   string      // what followed the last whole line
	stderr *safeBuffer
}

// safeBuffer can be read while it is written to.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startWatch starts a watch, whose lines are read as they come.
func startWatch(t *testing.T, args ...string) *watching {
	t.Helper()
	w := &watching{t: t, cmd: exec.Command(binary, append([]string{"watch", "--json"}, args...)...), lines: make(chan string, 1<<16), stderr: new(safeBuffer)}
	w.cmd.Stderr = w.stderr
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.lines)
		reader := bufio.NewReader(stdout)
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				w.torn = line
				return
			}
			w.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			w.stop(os.Kill)
		}
	})
	return w
}

// next returns the next change; it fails the test when none comes.
func (w *watching) next() change {
	w.t.Helper()
	select {
	case line, more := <-w.lines:
		if !more {
			w.t.Fatalf("the watch has ended: %s", w.stderr)
		}
		c, err := parseChange(line)
		if err != nil {
			w.t.Fatalf("line %q: %v", line, err)
		}
		return c
	case <-time.After(30 * time.Second):
		w.t.Fatalf("nothing comes: %s", w.stderr)
	}
	return change{}
}

// expect reads changes until the last of want has come, and compares them in
// any order: between aggregates there is none.
func (w *watching) expect(want ...string) {
	w.t.Helper()
	var got []string
	for range want {
		c := w.next()
		got = append(got, c.String())
	}
	sorted := slices.Sorted(slices.Values(want))
	slices.Sort(got)
	if !slices.Equal(got, sorted) {
		w.t.Fatalf("heard %q, want %q", got, sorted)
	}
}

// stop sends a signal, waits for the end and returns the exit status and the
// lines not read yet.
func (w *watching) stop(s os.Signal) (int, []string) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.t.Error(err)
	}
	return w.wait()
}

func (w *watching) wait() (int, []string) {
	w.t.Helper()
	giveUp := time.AfterFunc(30*time.Second, func() { w.cmd.Process.Kill() })
	defer giveUp.Stop()
	var rest []string
	for line := range w.lines { // Wait closes the pipe: read it to its end first
		rest = append(rest, line)
	}
	w.cmd.Wait()
	return w.cmd.ProcessState.ExitCode(), rest
}

// ends stops the watch, which must end well and have nothing more to say.
func (w *watching) ends(s os.Signal) {
	w.t.Helper()
	if status, rest := w.stop(s); status != 0 || len(rest) > 0 || w.torn != "" {
		w.t.Errorf("after %v: status %d, lines %q, torn %q (%s)", s, status, rest, w.torn, w.stderr)
	}
}

// failsWith waits for the end of a watch that must fail.
func (w *watching) failsWith(status int, want string) {
	w.t.Helper()
	if got, _ := w.wait(); got != status || !strings.Contains(w.stderr.String(), want) {
		w.t.Errorf("status %d, %s; want %d and %q", got, w.stderr, status, want)
	}
}
