package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/status"
)

func statusPage(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/status/", http.StripPrefix("/status", status.New(status.Options{Process: "web-1"})))
	mux.HandleFunc("/else/status.json", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"ok":true}`)) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestStatusPrintsThePage(t *testing.T) {
	server := statusPage(t)
	for _, path := range []string{"/status", "/status/", "/status/status.json"} {
		r := command(t, "status", "--url", server.URL+path)
		if r.status != 0 || !strings.HasPrefix(r.stdout, "No consumer is running in this process.\nweb-1, ") {
			t.Errorf("%s: status %d, %q, %q", path, r.status, r.stdout, r.stderr)
		}
	}
	r := command(t, "status", "--url", server.URL+"/status", "--json")
	var s status.Snapshot
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil || s.Process != "web-1" || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("%q, %v", r.stdout, err)
	}
}

func TestStatusSaysWhatIsWrong(t *testing.T) {
	server := statusPage(t)
	host := strings.TrimPrefix(server.URL, "http://")
	for _, test := range []struct {
		url    string
		status int
		want   string
	}{
		{"", 2, "--url is required"},
		{"127.0.0.1:80/x", 2, "--url"},
		{"ftp://a/b", 2, "want http"},
		{"http://a:secret\x7f@b/", 2, "--url is no URL"},
		{"http://me:secret@" + host + "/nowhere", 1, "status 404"},
		{"http://me:secret@" + host + "/else", 1, "no status page"},
	} {
		r := command(t, "status", "--url", test.url)
		if r.status != test.status || !strings.Contains(r.stderr, test.want) || strings.Contains(r.stderr, "secret") {
			t.Errorf("%q: status %d, %q, want %q", test.url, r.status, r.stderr, test.want)
		}
	}
	if r := command(t, "status", "--url", server.URL+"/status", "--interval", "1ms"); r.status != 2 {
		t.Errorf("an interval of 1 ms: status %d, %q", r.status, r.stderr)
	}
}

func TestStatusWatchesUntilInterrupted(t *testing.T) {
	server := statusPage(t)
	c := exec.Command(binary, "status", "--url", server.URL+"/status", "--watch", "--interval", "500ms", "--json")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	lines := json.NewDecoder(out)
	var first, second status.Snapshot
	if err := lines.Decode(&first); err != nil {
		t.Fatal(err)
	}
	if err := lines.Decode(&second); err != nil || !second.At.After(first.At) {
		t.Fatalf("the second snapshot is of %v, the first of %v: %v", second.At, first.At, err)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after the interrupt: %v", err)
	}
}
