//go:build chromium

package status

import (
	"context"
	"flag"
	"image/png"
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
// returns the document's text as the browser has it. More options are those of the picture.
func browse(t *testing.T, url, picture string, more ...string) string {
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
	run(append(more, "--screenshot="+picture)...)
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

var update = flag.Bool("update", false, "take the picture of docs/status.png anew")

// TestPictureForReaders keeps the picture that README shows true: a page without trouble. The
// browser must show its sentence. With -update the picture is taken anew; pixels are not
// compared, since they differ from browser to browser.
func TestPictureForReaders(t *testing.T) {
	const kept, limit = "../docs/status.png", 150 << 10
	page, server := newPage(t, Options{Process: "web-1"})
	one := &fixed{facts: []Facts{{
		Name: "orders", Phase: Live, Since: ago(2 * time.Hour), CaughtUp: true, LastCommit: ago(200 * time.Millisecond),
		Batches: 4_218_360, Partitions: 32, OfPartitions: 64,
		Shards: []Shard{{Shard: 0, Node: "10.0.0.1:10000", Role: "leader", Heartbeat: ago(time.Second), Opened: 1}},
	}}}
	past := &trail{}
	owners := make([]string, 64)
	shared := Partitions{Consumer: "orders", Read: ago(2 * time.Second), Owners: owners}
	for i := range owners[:mostSamples] {
		past.samples = append(past.samples, sample{at: ago(time.Duration(mostSamples-i) * time.Second), batches: uint64(4_216_000 + i*40 + i%7*9)})
	}
	for i := range owners {
		if owners[i] = "web-2"; i%2 == 0 {
			owners[i], shared.Mine = "web-1", append(shared.Mine, uint32(i))
		}
	}
	one.rest.Nodes = []Node{{Address: "10.0.0.1:10000", Role: "leader", Open: 3, Idle: 2}, {Address: "10.0.0.2:10000", Role: "follower", Open: 1, Idle: 1}}
	one.rest.Partitions = []Partitions{shared}
	page.sources = []Source{one}
	page.trails["orders"] = past
	picture := filepath.Join(pictures(t), "healthy.png")
	if *update {
		picture = kept
	}
	const says = "The consumer needs no attention; everything known is handled."
	if document := browse(t, server.URL+"/status/", picture, "--window-size=500,490"); !strings.Contains(document, says) || !strings.Contains(document, "32 of 64 partitions here") {
		t.Errorf("the browser does not show %q:\n%s", says, document)
	}
	file, err := os.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if about, err := file.Stat(); err != nil || about.Size() > limit {
		t.Errorf("%s has %d bytes, more than %d: %v", kept, about.Size(), limit, err)
	}
	if _, err := png.DecodeConfig(file); err != nil {
		t.Errorf("%s: %v", kept, err)
	}
}
