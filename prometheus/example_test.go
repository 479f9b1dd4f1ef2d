package prometheus_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/celeriant/celeriant-go/prometheus"
	"github.com/celeriant/celeriant-go/stream"
)

// One handler serves what the hooks of all subscriptions have counted.
func Example() {
	metrics, err := prometheus.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer metrics.Close(context.Background())
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics)

	metrics.Telemetry.Stream("orders").Void(stream.Change{Kind: stream.Deleted})

	scrape := httptest.NewRecorder()
	mux.ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(scrape.Body.String()) {
		if strings.HasPrefix(line, "celeriant_subscription_voids_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// celeriant_subscription_voids_total{celeriant_kind="deleted",messaging_consumer_group_name="orders"} 1
}
