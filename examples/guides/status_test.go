package guides

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/status"
	"github.com/celeriant/celeriant-go/stream"
)

// serveStatus shows a page for the person on call.
func serveStatus(sub *stream.Subscription, store checkpoint.RecordStore) {
	page := status.New(status.Options{Process: "web-1"})
	page.Watch(sub)                  // any running subscription
	page.WatchStore(store, "orders") // what is parked, who owns which partition, who waits
	http.Handle("/status/", http.StripPrefix("/status", page))
}

func TestStatusPageIsServed(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	store := checkpoint.NewMemory()
	sub, err := client.Watch(celeriant.Types(org, orderType), celeriant.WithName("orders"), celeriant.WithCheckpoints(store)).Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	serveStatus(sub, store)
	answer := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/status/", nil))
	if answer.Code != http.StatusOK {
		t.Errorf("the page answers %d: %s", answer.Code, answer.Body)
	}
}
