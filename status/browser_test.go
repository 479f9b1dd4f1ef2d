//go:build chromium

package status

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pictures is where the test leaves a picture of each page: CELERIANT_TEST_PICTURES, else
// a folder that goes with the test.
func pictures(t *testing.T) string {
	if dir := os.Getenv("CELERIANT_TEST_PICTURES"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// browse loads a page in a headless Chromium with a phone's width, lets its script run, and
// returns the document's text as the browser has it.
func browse(t *testing.T, url, picture string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := func(extra ...string) string {
		args := append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync",
			"--user-data-dir=" + t.TempDir(), "--window-size=500,900", "--timeout=3000",
		}, extra...)
		out, err := exec.CommandContext(ctx, "chromium", append(args, url)...).Output()
		if err != nil {
			t.Fatalf("chromium %s: %v", strings.Join(extra, " "), err)
		}
		return string(out)
	}
	run("--screenshot=" + picture)
	return run("--dump-dom")
}

// TestPagesInABrowser shows each situation on a page of its own: the browser must show its
// sentence, by the page's script too, and leave a picture for people to judge.
func TestPagesInABrowser(t *testing.T) {
	dir := pictures(t)
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			page, server := newPage(t, Options{})
			one := everything()
			one.facts = []Facts{s.facts}
			page.sources = []Source{one}
			page.trails[s.facts.Name] = &trail{samples: s.past}
			document := browse(t, server.URL+"/status/", filepath.Join(dir, strings.ReplaceAll(s.name, " ", "-")+".png"))
			if !strings.Contains(document, s.says) {
				t.Errorf("the browser does not show %q:\n%s", s.says, document)
			}
			if strings.Contains(document, `id="cut" role="alert">`) {
				t.Error("the page believes that it is disconnected")
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		_, server := newPage(t, Options{Process: "web-1"})
		if document := browse(t, server.URL+"/status/", filepath.Join(dir, "all.png")); strings.Contains(document, "<script>alert") {
			t.Error("a text from a handler became an element")
		}
	})
}
