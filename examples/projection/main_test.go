package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/examples/internal/program"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// order is what GET /orders says of one.
type order struct {
	ID           string
	Items, Cents int64
}

func ordersAt(t *testing.T, url string) map[string]order {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var all []order
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	byID := make(map[string]order)
	for _, o := range all {
		byID[o.ID] = o
	}
	return byID
}

// add posts an item and returns the status.
func add(t *testing.T, url string, number, cents int, key string) int {
	t.Helper()
	body := fmt.Sprintf(`{"item":"book","cents":%d}`, cents)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s/%d", url, number), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Idempotency-Key", key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func idOf(number uint64) string { return msg.IDFromUint64(number).String() }

// Callers see their own write in the next read; a restart repeats nothing; a command
// that is sent again is applied once; a deleted order is gone.
func TestProjection(t *testing.T) {
	dir := t.TempDir()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	start := func() (*program.Function, string) {
		p := program.Run(t, func(ctx context.Context, out io.Writer) error {
			return run(ctx, node.Addr(), dir, "127.0.0.1:0", 1, out)
		})
		return p, p.Await(t, "orders at ")
	}
	p, url := start()
	want := order{ID: idOf(17)}
	for i := range 20 {
		if status := add(t, url, 17, 100+i, fmt.Sprint("first ", i)); status != http.StatusCreated {
			t.Fatalf("status %d", status)
		}
		want.Items++
		want.Cents += int64(100 + i)
		if got := ordersAt(t, url)[want.ID]; got != want {
			t.Fatalf("after a write %+v is shown, want %+v", got, want)
		}
	}
	p.Stop(t)
	p, url = start()
	if status := add(t, url, 17, 100, "first 0"); status != http.StatusCreated {
		t.Errorf("repeating a command: status %d", status)
	}
	if status := add(t, url, 18, 5, "other"); status != http.StatusCreated {
		t.Errorf("another order: status %d", status)
	}
	got := ordersAt(t, url)
	if got[want.ID] != want || got[idOf(18)] != (order{idOf(18), 1, 5}) || len(got) != 2 {
		t.Errorf("after a restart %v", got)
	}
	p.Stop(t)

	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	gone := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(17)}
	if err := client.Pool().DeleteAggregate(t.Context(), gone, writerID, pool.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p, url = start()
	program.Until(t, "the deleted order is gone", func() bool { return len(ordersAt(t, url)) == 1 })
	p.Stop(t)
}

func TestBadRequests(t *testing.T) {
	p := program.Run(t, func(ctx context.Context, out io.Writer) error {
		return run(ctx, "", t.TempDir(), "127.0.0.1:0", 1, out)
	})
	url := p.Await(t, "orders at ")
	for path, body := range map[string]string{"/x": `{"item":"book"}`, "/1": "{"} {
		answer, err := http.Post(url+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s %s: status %d", path, body, answer.StatusCode)
		}
	}
	p.Stop(t)
}

// The program is killed while it catches up. Started again it ends with each event
// counted once: a batch that was applied twice, or left out, would show in the sums.
func TestKilledInTheMiddle(t *testing.T) {
	const orders, itemsEach = 64, 40
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	var writers sync.WaitGroup
	for number := range uint64(orders) {
		writers.Go(func() {
			for i := range uint64(itemsEach) {
				item, err := orderEvents.New(ItemAdded{Item: "book", Cents: int64(i)})
				if err != nil {
					t.Error(err)
					return
				}
				item.ClientSeq = i + 1
				if _, err := client.WriteEvents(t.Context(), msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(number)}, []msg.Event{item}, writerID); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	items := func(url string) (n int64) {
		for _, o := range ordersAt(t, url) {
			n += o.Items
		}
		return n
	}
	path := program.Build(t)
	for attempt := 1; ; attempt++ { // until a kill hits the middle
		dir := t.TempDir()
		start := func() (*program.Process, string) {
			p := program.Start(t, path, "--address", node.Addr(), "--dir", dir, "--listen", "127.0.0.1:0")
			return p, p.Await(t, "orders at ")
		}
		p, url := start()
		var before int64
		program.Until(t, "the first item is shown", func() bool { before = items(url); return before > 0 })
		p.Kill(t)
		p, url = start()
		program.Until(t, "all items are shown", func() bool { return items(url) >= orders*itemsEach })
		for id, o := range ordersAt(t, url) {
			if o.Items != itemsEach || o.Cents != itemsEach*(itemsEach-1)/2 {
				t.Errorf("order %s: %+v", id, o)
			}
		}
		p.Kill(t)
		if t.Failed() {
			return
		}
		if before < orders*itemsEach {
			t.Logf("killed with %d of %d items applied", before, orders*itemsEach)
			return
		}
		if attempt == 20 {
			t.Fatal("no kill hit the middle")
		}
	}
}
