//go:build chromium

package main

import (
	"context"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// TestThePageInABrowser opens the page in a headless Chromium: it shows what was there
// and what is written while it is open, as text.
func TestThePageInABrowser(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := celerianttest.Run(t, celerianttest.Options{})
	store, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(context.Background())
	s, err := start(store)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	write := func(n uint64, payload string) error {
		key := msg.Key{Org: org, Type: orders, Aggregate: msg.IDFromUint64(n)}
		_, err := store.WriteEvents(ctx, key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(payload)}}, writerID)
		return err
	}
	if err := write(1, `{"amount":1}`); err != nil {
		t.Fatal(err)
	}
	// The browser is asked for the document after a time; until then something happens
	// again and again, so that it happens while the page listens.
	stop := make(chan struct{})
	stopped := make(chan error, 1)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-tick.C:
				if err := write(2, `"<script>alert(1)</script>"`); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	page := "http://" + s.pages.Addr().String() + "/?type=" + url.QueryEscape(org.String()+"/"+orders.String())
	out, err := exec.CommandContext(ctx, "chromium",
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--timeout=5000", "--dump-dom", page).Output()
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	document := string(out)
	for _, want := range []string{`<p id="state">live</p>`, msg.IDFromUint64(1).String(), msg.IDFromUint64(2).String(), "&lt;script&gt;alert(1)&lt;/script&gt;"} {
		if !strings.Contains(document, want) {
			t.Errorf("the browser does not show %q:\n%s", want, document)
		}
	}
}
