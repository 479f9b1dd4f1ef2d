package otel_test

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/celeriant/celeriant-go/otel"
	"github.com/celeriant/celeriant-go/stream"
)

// Hooks of one name fill its metrics. The hooks are given to celeriant.WithStreamHooks;
// here the example itself plays the subscription, and a reader the collector.
func Example() {
	reader := metric.NewManualReader()
	telemetry, err := otel.New(otel.Options{Meter: metric.NewMeterProvider(metric.WithReader(reader))})
	if err != nil {
		fmt.Println(err)
		return
	}
	hooks := telemetry.Stream("orders")
	hooks.Commit(stream.CommitDone{Entries: 3, Duration: 2 * time.Millisecond})

	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name, m.Unit)
	}
	// Output:
	// celeriant.commit.duration s
}
