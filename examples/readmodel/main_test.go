package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/examples/internal/program"
	"github.com/celeriant/celeriant-go/msg"
)

// browser reads server-sent events.
type browser struct {
	t      *testing.T
	body   io.ReadCloser
	lines  *bufio.Scanner
	lastID string
	rows   map[string]row
}

func open(t *testing.T, url, lastID string) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for all that it waits for
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"stock", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Last-Event-ID", lastID)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return &browser{t: t, body: answer.Body, lines: bufio.NewScanner(answer.Body), rows: make(map[string]row)}
}

// next applies the next event and returns its kind and its updates.
func (b *browser) next() (kind string, updates []row) {
	b.t.Helper()
	for b.lines.Scan() {
		name, text, _ := strings.Cut(b.lines.Text(), ": ")
		switch name {
		case "event":
			kind = text
		case "id":
			b.lastID = text
		case "data":
			if err := json.Unmarshal([]byte(text), &updates); err != nil {
				b.t.Fatal(err)
			}
		case "":
			if kind == "stock" {
				clear(b.rows)
			}
			for _, u := range updates {
				if b.rows[u.Shop+u.Product] = u; u.Gone {
					delete(b.rows, u.Shop+u.Product)
				}
			}
			return kind, updates
		}
	}
	b.t.Fatal(b.lines.Err())
	return "", nil
}

// await reads until a product has so many pieces, or more.
func (b *browser) await(shop, product string, pieces int) {
	b.t.Helper()
	for b.rows[shop+product].Pieces < pieces {
		b.next()
	}
}

func counting(t *testing.T, address string) func(org msg.ID, product string, pieces int) {
	client, err := celeriant.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	return func(org msg.ID, product string, pieces int) {
		t.Helper()
		counted, err := stockEvents.Batch(StockCounted{product, pieces})
		if err != nil {
			t.Fatal(err)
		}
		key := msg.Key{Org: org, Type: productType, Aggregate: msg.IDFromName(productType, product)}
		if _, err := client.WriteEvents(t.Context(), key, counted, writerID); err != nil {
			t.Fatal(err)
		}
	}
}

// A browser sees both shops live, gets what it missed when it comes back, and everything
// anew after a restart of the program.
func TestBrowsers(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	count := counting(t, node.Addr())
	start := func() (*program.Function, string) {
		p := program.Run(t, func(ctx context.Context, out io.Writer) error { return run(ctx, node.Addr(), "127.0.0.1:0", out) })
		return p, p.Await(t, "stock at ")
	}
	p, url := start()
	b := open(t, url, "")
	if kind, _ := b.next(); kind != "stock" {
		t.Errorf("the first event is %q", kind)
	}
	count(north, "apples", 5)
	b.await("north", "apples", 5)
	count(south, "apples", 7)
	b.await("south", "apples", 7)
	count(msg.IDFromUint64(99), "apples", 1) // of another organisation

	b.body.Close()
	count(north, "apples", 6)
	watching := open(t, url, "")
	watching.await("north", "apples", 6)
	again := open(t, url, b.lastID)
	if kind, missed := again.next(); kind != "updates" || len(missed) != 1 || missed[0].Pieces != 6 {
		t.Errorf("back again it gets %q %v", kind, missed)
	}
	if len(watching.rows) != 2 {
		t.Errorf("the stock is %v", watching.rows)
	}
	p.Stop(t)

	p, url = start()
	restarted := open(t, url, again.lastID)
	if kind, _ := restarted.next(); kind != "stock" {
		t.Errorf("after a restart the first event is %q", kind)
	}
	restarted.await("north", "apples", 6)
	restarted.await("south", "apples", 7)
	p.Stop(t)
}

// A browser that comes back gets each product that has changed once, and hears of those
// that are gone; a new one does not.
func TestComingBack(t *testing.T) {
	c := &cache{run: "run", rows: make(map[string]row), news: make(chan struct{})}
	server := httptest.NewServer(c)
	defer server.Close()
	for n := range 100 {
		c.update(row{Shop: "north", ID: fmt.Sprint(n % 4), Product: fmt.Sprint(n % 4), Pieces: n})
	}
	c.update(row{Shop: "north", ID: "0", Product: "0", Gone: true})
	for lastID, want := range map[string]struct {
		kind    string
		updates int
	}{"": {"stock", 3}, "other/99": {"stock", 3}, "run/98": {"updates", 3}, "run/100": {"updates", 1}, "run/101": {"updates", 0}, "run/3": {"updates", 4}} {
		b := open(t, server.URL+"/", lastID)
		if kind, updates := b.next(); kind != want.kind || len(updates) != want.updates || b.lastID != "run/101" {
			t.Errorf("behind %q it gets %q of %d rows, up to %q", lastID, kind, len(updates), b.lastID)
		}
		b.body.Close()
	}
}

// Killed and started again the program reads everything anew, and deletions with it.
func TestKilled(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	count := counting(t, node.Addr())
	path := program.Build(t)
	start := func() (*program.Process, string) {
		p := program.Start(t, path, "--address", node.Addr(), "--listen", "127.0.0.1:0")
		return p, p.Await(t, "stock at ")
	}
	p, url := start()
	b := open(t, url, "")
	for pieces := range 50 {
		count(north, "apples", pieces+1)
		count(south, "bread", pieces+1)
	}
	b.await("north", "apples", 3)
	p.Kill(t)
	p, url = start()
	b = open(t, url, b.lastID)
	b.await("north", "apples", 50)
	b.await("south", "bread", 50)
	p.Kill(t)
}

func TestPage(t *testing.T) {
	p := program.Run(t, func(ctx context.Context, out io.Writer) error { return run(ctx, "", "127.0.0.1:0", out) })
	url := p.Await(t, "stock at ")
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "EventSource") {
		t.Errorf("the page: %v, %q", err, text)
	}
	b := open(t, url, "")
	for len(b.rows) == 0 { // the playground counts something
		b.next()
	}
	p.Stop(t)
}
