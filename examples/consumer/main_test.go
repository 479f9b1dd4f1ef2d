package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/examples/internal/program"
	"github.com/celeriant/celeriant-go/msg"
)

// flaky is a service that fails every third request, refuses one order while it is told
// to, and keeps what it took in order.
type flaky struct {
	*httptest.Server
	mu      sync.Mutex
	refuses string
	asked   int
	taken   map[string][]string // versions by order, each idempotency key once
	keys    map[string]bool
	repeats int
	news    chan struct{} // closed when something changes
}

func newFlaky(t *testing.T, refuses string) *flaky {
	f := &flaky{refuses: refuses, taken: make(map[string][]string), keys: make(map[string]bool), news: make(chan struct{})}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	order, key := r.Header.Get("Order"), r.Header.Get("Idempotency-Key")
	switch {
	case order == f.refuses:
		w.WriteHeader(http.StatusUnprocessableEntity)
	case f.asked%3 == 0:
		w.WriteHeader(http.StatusServiceUnavailable)
	case f.keys[key]:
		f.repeats++
	default:
		f.keys[key] = true
		f.taken[order] = append(f.taken[order], r.Header.Get("Version"))
	}
	close(f.news)
	f.news = make(chan struct{})
}

// await waits until the service has taken n events.
func (f *flaky) await(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		f.mu.Lock()
		taken, news := len(f.keys), f.news
		f.mu.Unlock()
		if taken >= n {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			t.Fatalf("%d of %d events were told", taken, n)
		}
	}
}

// Two instances share the work, one is killed and started again. Every order is told of
// in order and whole, but the one that is refused; that one follows when it is released.
func TestInstancesShareTheWork(t *testing.T) {
	const orders, refused = 20, 3
	dir := t.TempDir()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	shop := newFlaky(t, msg.IDFromUint64(refused).String())
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	write := func(version uint64) {
		for number := range uint64(orders) {
			key := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(number)}
			event := msg.Event{ClientSeq: version, Major: 1, Value: []byte(`{"item":"book"}`)}
			if _, err := client.WriteEvents(t.Context(), key, []msg.Event{event}, writerID); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := program.Build(t)
	start := func() *program.Process {
		return program.Start(t, path, "--address", node.Addr(), "--dir", dir, "--to", shop.URL)
	}
	first, second := start(), start()
	// The instance that comes first has all orders, until the other one has its share.
	var events uint64
	late := time.Now().Add(2 * time.Minute)
	for every := time.NewTicker(250 * time.Millisecond); !first.Has("told the shop") || !second.Has("told the shop"); <-every.C {
		if time.Now().After(late) {
			t.Fatal("one of two instances tells nothing") // their ends tell why
		}
		events++
		write(events)
	}
	if !testing.Short() { // its partitions wait for the end of their leases
		first.Kill(t) // in the middle of its work
		for range 5 {
			events++
			write(events)
		}
		first = start()
	}
	events++
	write(events)
	shop.await(t, (orders-1)*int(events))

	db, err := sql.Open("sqlite", dir+database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	parked := 0
	for p, err := range checkpoint.ListParked(t.Context(), store, name) {
		if err != nil {
			t.Fatal(err)
		}
		parked++
		if p.Key.Aggregate != msg.IDFromUint64(refused) || !strings.Contains(p.Error, "refuses") {
			t.Errorf("parked: %+v", p)
		}
		shop.mu.Lock()
		shop.refuses = ""
		shop.mu.Unlock()
		if err := checkpoint.RequestParked(t.Context(), store, name, p, checkpoint.ActionRelease, "a test"); err != nil {
			t.Fatal(err)
		}
	}
	if parked != 1 {
		t.Errorf("%d orders are parked", parked)
	}
	shop.await(t, orders*int(events))
	first.Kill(t)
	second.Kill(t)

	shop.mu.Lock()
	defer shop.mu.Unlock()
	var want []string
	for version := range events {
		want = append(want, fmt.Sprint(version+1))
	}
	for order, got := range shop.taken {
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("order %s was told of as %v", order, got)
		}
	}
	t.Logf("%d requests for %d events, %d of them repeated after the kill", shop.asked, orders*events, shop.repeats)
}

// A restart goes on where the program stopped: nothing is told twice after a clean end.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	node := celerianttest.Run(t, celerianttest.Options{})
	shop := newFlaky(t, "")
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	for version := range uint64(3) {
		p := program.Run(t, func(ctx context.Context, out io.Writer) error { return run(ctx, node.Addr(), dir, shop.URL, out) })
		key := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(7)}
		event := msg.Event{ClientSeq: version + 1, Major: 1, Value: []byte(`{}`)}
		if _, err := client.WriteEvents(t.Context(), key, []msg.Event{event}, writerID); err != nil {
			t.Fatal(err)
		}
		shop.await(t, int(version+1))
		p.Stop(t)
	}
	if shop.repeats != 0 || len(shop.taken) != 1 {
		t.Errorf("%d repeated, told: %v", shop.repeats, shop.taken)
	}
}

// The playground runs, and every event reaches its service in the end.
func TestPlayground(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	node, service, err := play(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f := program.Run(t, func(ctx context.Context, out io.Writer) error {
		return run(ctx, node.Addr(), t.TempDir(), service.URL, out)
	})
	f.Await(t, "told the shop of")
	f.Stop(t)
	cancel()
	service.Close()
	if err := node.Close(); err != nil {
		t.Error(err)
	}
}
