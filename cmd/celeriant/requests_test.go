package main_test

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// hear starts a forward whose reports are read, and returns what waits for one of them.
func hear(t *testing.T, args ...string) (f *forwarding, says func(words string)) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	t.Cleanup(func() { // after the process was killed
		for range lines {
		}
	})
	f = startForwardTo(t, out, args...)
	out.Close()
	go func() {
		defer close(lines)
		defer in.Close()
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			lines <- scanner.Text()
		}
		_, _ = io.Copy(io.Discard, in)
	}()
	return f, func(words string) {
		t.Helper()
		for line := range lines {
			if strings.Contains(line, words) {
				return
			}
		}
		t.Fatalf("it never said %q", words)
	}
}

// TestConsumersPauseAndRedoAcrossProcesses asks for things in a process of its own, which
// two instances that share a name carry out.
func TestConsumersPauseAndRedoAcrossProcesses(t *testing.T) {
	t.Parallel() // it waits more than it works
	const aggregates, versions = 8, 2
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	service := newOutside(t)
	place := "sqlite:" + filepath.Join(t.TempDir(), "forward.db")
	args := []string{
		"--address", node.Addr(), "--org", "1", "--to", service.url, "--name", "orders", "--partitions", "8", "--lease-ttl", "3s",
		"--checkpoint", place,
	}
	a, aSays := hear(t, args...)
	b, bSays := hear(t, args...)
	both := func(words string) {
		t.Helper()
		aSays(words)
		bSays(words)
	}
	writeOrders(t, connect(t, node.Addr()), aggregates, 0, versions)
	service.wait(t, aggregates*versions)
	on := []string{"--checkpoint", place, "--name", "orders"}
	one := append([]string{"--org", "1", "--type", "2", "--aggregate", "5"}, on...)

	succeeded(t, append([]string{"consumers", "pause"}, one...)...)
	both("1 aggregates are paused")
	writeOrders(t, connect(t, node.Addr()), aggregates, versions, versions)
	service.wait(t, 2*aggregates*versions-versions)
	service.mu.Lock()
	if got := len(service.taken[msg.IDFromUint64(5).String()]); got != versions {
		t.Errorf("of the paused aggregate %d events were taken, want %d", got, versions)
	}
	service.mu.Unlock()
	succeeded(t, append([]string{"consumers", "resume"}, one...)...)
	both("nothing is paused any more")
	service.wait(t, 2*aggregates*versions)

	succeeded(t, append([]string{"consumers", "pause"}, on...)...)
	both("everything is paused")
	writeOrders(t, connect(t, node.Addr()), aggregates, 2*versions, versions)
	succeeded(t, append([]string{"consumers", "resume"}, on...)...)
	service.wait(t, 3*aggregates*versions)
	service.checkOrder(t, aggregates, 3*versions)

	succeeded(t, append([]string{"consumers", "redo"}, one...)...)
	service.waitRepeats(t, 3*versions)
	for _, f := range []*forwarding{a, b} {
		if status := f.stop(t, os.Interrupt); status != 0 {
			t.Errorf("status %d after an interrupt", status)
		}
	}
}
