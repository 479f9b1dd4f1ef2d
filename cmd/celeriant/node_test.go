package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// key7 are the flags that name aggregate(7), client7 is the client id of writer.
var key7 = []string{"--org", "1", "--type", "2", "--aggregate", "7"}

const client7 = "00000000-0000-0000-0000-000000000007"

// at runs a command against a node.
func at(t *testing.T, node *celerianttest.Node, stdin, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := append(strings.Fields(name), "--address", node.Addr())
	c := exec.CommandContext(ctx, binary, append(all, args...)...)
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("celeriant %s: %v (%s)", name, err, stderr.String())
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// ok runs a command that must succeed and returns what it printed.
func ok(t *testing.T, node *celerianttest.Node, stdin, name string, args ...string) string {
	t.Helper()
	r := at(t, node, stdin, name, args...)
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("celeriant %s %v: status %d, stderr %q", name, args, r.status, r.stderr)
	}
	return r.stdout
}

// fails runs a command that must fail in this way.
func fails(t *testing.T, node *celerianttest.Node, stdin string, status int, want, name string, args ...string) result {
	t.Helper()
	r := at(t, node, stdin, name, args...)
	if r.status != status || !strings.Contains(r.stderr, want) {
		t.Errorf("celeriant %s %v: status %d, stderr %q; want %d and %q", name, args, r.status, r.stderr, status, want)
	}
	return r
}

func with(args []string, more ...string) []string {
	return append(append([]string(nil), args...), more...)
}

// lastLine reads the one JSON object of a command that changes something.
func lastLine(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// cutAnswers lets the node execute requests of this type and loses the answers.
func cutAnswers(node *celerianttest.Node, kind msg.RequestType) {
	node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		if f.Direction == celerianttest.ToNode && f.Request.RequestType() == kind {
			return celerianttest.CutAfter(f.Size)
		}
		return celerianttest.Pass()
	})
}
