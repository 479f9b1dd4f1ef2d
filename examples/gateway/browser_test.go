//go:build chromium

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
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
	if err := write(2, `{"amount":2}`); err != nil {
		t.Fatal(err)
	}
	front := newFront(t, s.pages.Addr().String(), func() {
		if err := write(2, `"<b>amount</b>"`); err != nil {
			t.Error(err)
		}
	})
	page := front + "/?type=" + url.QueryEscape(org.String()+"/"+orders.String())
	out, err := exec.CommandContext(ctx, "chromium",
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--timeout=30000", "--dump-dom", page).Output()
	if err != nil {
		t.Fatal(err)
	}
	document := string(out)
	for _, want := range []string{`<p id="state">live</p>`, msg.IDFromUint64(1).String(), msg.IDFromUint64(2).String(), "&lt;b&gt;amount&lt;/b&gt;"} {
		if !strings.Contains(document, want) {
			t.Errorf("the browser does not show %q:\n%s", want, document)
		}
	}
}

// watcher tells the front when the page is live, and when it shows a payload.
const watcher = `<script>
new MutationObserver(() => {
  if (document.getElementById("state").textContent === "live") fetch("/front/live");
  if (document.getElementById("rows").textContent.includes("amount")) fetch("/front/shown");
}).observe(document.body, { subtree: true, childList: true, characterData: true });
</script><img src="/front/hold">`

// newFront serves the pages at an address, with a watcher in the page: live is called once
// the page says that it is, and the browser takes the page for loaded once it shows what
// came then.
func newFront(t *testing.T, address string, live func()) string {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.FlushInterval = -1
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.URL.Path == "/" {
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(r.Body, strings.NewReader(watcher)), r.Body}
			r.ContentLength = -1
			r.Header.Del("Content-Length")
		}
		return nil
	}
	shown := make(chan struct{})
	begin, end := sync.OnceFunc(live), sync.OnceFunc(func() { close(shown) })
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("/front/live", func(http.ResponseWriter, *http.Request) { begin() })
	mux.HandleFunc("/front/shown", func(http.ResponseWriter, *http.Request) { end() })
	mux.HandleFunc("/front/hold", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-shown:
		case <-r.Context().Done():
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}
