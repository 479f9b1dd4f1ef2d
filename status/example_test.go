package status_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/celeriant/celeriant-go/status"
	"github.com/celeriant/celeriant-go/stream"
)

// orders is a subscription; a program gives the page one of package stream.
type orders struct{}

func (orders) Name() string { return "orders" }

func (orders) Stats() stream.Stats {
	return stream.Stats{State: stream.State{Phase: stream.Live, Since: time.Now()}}
}

func Example() {
	page := status.New(status.Options{Process: "web-1"})
	page.Watch(orders{})
	http.Handle("/status/", http.StripPrefix("/status", page))

	fmt.Println(page.Snapshot(context.Background()).Sentence)
	// Output:
	// The consumer needs no attention; everything known is handled.
}
