package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// outside is a service that fails some requests, refuses one aggregate while it is told to,
// and keeps what it took, in order.
type outside struct {
	url string

	mu      sync.Mutex
	refuses string        // an aggregate
	slow    time.Duration // the longest time of an answer
	asked   int
	failed  int
	seen    map[string]bool     // ids that were taken
	taken   map[string][]string // values by aggregate, each id once
	repeats int
	changed chan struct{}
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{seen: make(map[string]bool), taken: make(map[string][]string), changed: make(chan struct{}, 1)}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.url = server.URL + "/events"
	return o
}

func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var event struct {
		ID, Aggregate string
		Value         string
	}
	if err != nil || json.Unmarshal(body, &event) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if o.slow > 0 {
		time.Sleep(rand.N(o.slow))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	// Three of ten requests fail, which ones is decided by what is asked and how often.
	h := fnv.New32a()
	fmt.Fprint(h, event.ID, o.asked)
	switch {
	case event.Aggregate == o.refuses:
		w.WriteHeader(http.StatusUnprocessableEntity)
	case h.Sum32()%10 < 3:
		o.failed++
		w.WriteHeader(http.StatusServiceUnavailable)
	case o.seen[event.ID]:
		o.repeats++
		o.wake()
	default:
		o.seen[event.ID] = true
		o.taken[event.Aggregate] = append(o.taken[event.Aggregate], event.Value)
		o.wake()
	}
}

func (o *outside) wake() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// wait waits until so many events were taken.
func (o *outside) wait(t *testing.T, events int) {
	t.Helper()
	o.waitFor(t, events, "events", func() int { return len(o.seen) })
}

// waitRepeats waits until so many events came again.
func (o *outside) waitRepeats(t *testing.T, events int) {
	t.Helper()
	o.waitFor(t, events, "repeats", func() int { return o.repeats })
}

func (o *outside) waitFor(t *testing.T, want int, what string, count func() int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		o.mu.Lock()
		got, failed := count(), o.failed
		o.mu.Unlock()
		if got >= want {
			return
		}
		select {
		case <-o.changed:
		case <-ctx.Done():
			t.Fatalf("the service took %d of %d %s; it failed %d requests", got, want, what, failed)
		}
	}
}

// checkOrder compares what was taken of each aggregate with what was written.
func (o *outside) checkOrder(t *testing.T, aggregates, versions int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for a := range aggregates {
		id := msg.IDFromUint64(uint64(a)).String()
		if id == o.refuses {
			continue
		}
		var want []string
		for v := range versions {
			want = append(want, fmt.Sprintf("%d.%d", a, v))
		}
		if got := o.taken[id]; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("aggregate %d: took %v, want %v", a, got, want)
		}
	}
}

// forwarding is a running celeriant forward.
type forwarding struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
}

func startForward(t *testing.T, args ...string) *forwarding {
	t.Helper()
	reports := &firstReport{begun: make(chan struct{})}
	f := startForwardTo(t, reports, args...)
	f.stderr = &reports.text
	select {
	case <-reports.begun: // from now on a signal ends it in order
	case <-time.After(patience):
		t.Fatal("forward reports nothing")
	}
	return f
}

// firstReport keeps what a process writes to standard error, and tells when it begins.
type firstReport struct {
	text  bytes.Buffer
	once  sync.Once
	begun chan struct{} // closed at the first report
}

func (r *firstReport) Write(p []byte) (int, error) {
	r.once.Do(func() { close(r.begun) })
	return r.text.Write(p)
}

// startForwardTo starts one whose reports go to stderr.
func startForwardTo(t *testing.T, stderr io.Writer, args ...string) *forwarding {
	t.Helper()
	f := &forwarding{cmd: exec.Command(binary, append([]string{"forward", "--json"}, args...)...)}
	f.cmd.Stderr = stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill() // it has ended already where the test passed
		_ = f.cmd.Wait()
	})
	return f
}

// stop ends it by a signal and returns its status.
func (f *forwarding) stop(t *testing.T, s os.Signal) int {
	t.Helper()
	if err := f.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	_ = f.cmd.Wait() // the status tells
	return f.cmd.ProcessState.ExitCode()
}

// writeOrders writes versions batches of one event to each of so many aggregates, behind
// the first versions.
func writeOrders(t *testing.T, p *pool.Pool, aggregates, first, versions int) {
	t.Helper()
	for v := first; v < first+versions; v++ {
		for a := range aggregates {
			key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(uint64(a))}
			event := msg.Event{ClientSeq: uint64(v + 1), Timestamp: 5, Major: 1, Value: fmt.Appendf(nil, `"%d.%d"`, a, v)}
			if _, err := p.WriteEvents(t.Context(), key, []msg.Event{event}, msg.IDFromUint64(9), pool.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestForwardDeliversEverythingInOrderAndParksWhatIsRefused(t *testing.T) {
	t.Parallel() // it waits more than it works
	const aggregates, versions = 12, 8
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	writeOrders(t, connect(t, node.Addr()), aggregates, 0, versions)
	service := newOutside(t)
	service.refuses = msg.IDFromUint64(5).String()
	place := "sqlite:" + filepath.Join(t.TempDir(), "forward.db")
	args := []string{
		"--address", node.Addr(), "--org", "1", "--type", "2", "--to", service.url, "--checkpoint", place, "--name", "orders", "--workers", "4",
	}
	forward := startForward(t, args...)
	service.wait(t, (aggregates-1)*versions)
	service.checkOrder(t, aggregates, versions)
	on := []string{"--checkpoint", place, "--name", "orders"}
	parked := func() string { return succeeded(t, append([]string{"parked", "list"}, on...)...) }
	for deadline := time.Now().Add(time.Minute); parked() == ""; {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is parked; %s", forward.stderr)
		}
	}
	if got := parked(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "422 Unprocessable Entity") {
		t.Errorf("parked are %q", got)
	}
	if status := forward.stop(t, os.Interrupt); status != 0 {
		t.Fatalf("status %d after an interrupt: %s", status, forward.stderr)
	}

	// The release is carried out by the next owner.
	service.mu.Lock()
	service.refuses = ""
	service.mu.Unlock()
	succeeded(t, append([]string{"parked", "release", "--org", "1", "--type", "2", "--aggregate", "5"}, on...)...)
	again := startForward(t, args...)
	service.wait(t, aggregates*versions)
	service.checkOrder(t, aggregates, versions)
	if status := again.stop(t, os.Interrupt); status != 0 {
		t.Fatalf("status %d after an interrupt: %s", status, again.stderr)
	}
	if got := parked(); got != "" {
		t.Errorf("after the release there is still %q", got)
	}
	if service.failed == 0 {
		t.Error("the service failed no request: nothing was tested")
	}
}

func TestForwardKilledAgainAndAgainLosesNothing(t *testing.T) {
	const aggregates, versions = 20, 10
	kills := fewer(5)
	node := celerianttest.Run(t, celerianttest.Options{})
	writeOrders(t, connect(t, node.Addr()), aggregates, 0, versions)
	service := newOutside(t)
	args := []string{
		"--address", node.Addr(), "--org", "1", "--to", service.url, "--name", "orders",
		"--checkpoint", "sqlite:" + filepath.Join(t.TempDir(), "forward.db"),
	}
	for i := range kills {
		forward := startForward(t, args...)
		service.wait(t, (i+1)*aggregates*versions/(kills+1))
		forward.stop(t, os.Kill)
	}
	forward := startForward(t, args...)
	service.wait(t, aggregates*versions)
	if status := forward.stop(t, os.Interrupt); status != 0 {
		t.Fatalf("status %d after an interrupt: %s", status, forward.stderr)
	}
	service.checkOrder(t, aggregates, versions)
}

func TestForwardRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"--to", "http://127.0.0.1:1/x", "--checkpoint", "file:" + t.TempDir()}
	for _, test := range []struct {
		want   string
		status int
		args   []string
	}{
		{"--to is required", 2, []string{"--checkpoint", "file:x"}},
		{"--checkpoint is required", 2, []string{"--to", "http://127.0.0.1:1/x"}},
		{"--to is no URL", 2, []string{"--to", "127.0.0.1:80"}},
		{"no URL of the form", 2, []string{"--to", "ftp://127.0.0.1/x"}},
		{"holds credentials", 2, []string{"--to", "http://user:secret@127.0.0.1/x"}},
		{"--workers is 0", 2, append([]string{"--workers", "0"}, good...)},
		{"--rate is -1", 2, append([]string{"--rate", "-1"}, good...)},
		{"--lease-ttl is 1s", 2, append([]string{"--lease-ttl", "1s"}, good...)},
		{"--timeout is 0s", 2, append([]string{"--timeout", "0"}, good...)},
		{"--from is \"then\"", 2, append([]string{"--from", "then"}, good...)},
		{"is empty", 1, append([]string{"--key-file", empty}, good...)},
		{"no such file", 1, append([]string{"--authorization-file", empty + "x"}, good...)},
	} {
		r := command(t, append([]string{"forward"}, test.args...)...)
		if r.status != test.status || !strings.Contains(r.stderr, test.want) || strings.Contains(r.stderr, "secret") {
			t.Errorf("%v: status %d, stderr %q; want %d and %q", test.args, r.status, r.stderr, test.status, test.want)
		}
	}
}
