package prometheus

import (
	"context"
	"fmt"
	"net/http"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/prometheus/otlptranslator"

	"github.com/celeriant/celeriant-go/otel"
)

// Metrics is an http.Handler for one scrape target. Metrics is safe for concurrent
// use.
type Metrics struct {
	// Telemetry has the hooks that fill the metrics.
	Telemetry *otel.Telemetry

	provider *metric.MeterProvider
	handler  http.Handler
}

// New makes Metrics that are also registered with registry, for programs that serve
// metrics of their own; nil means a registry of its own. New fails if the registry
// has metrics of these names already.
func New(registry *client.Registry) (*Metrics, error) {
	if registry == nil {
		registry = client.NewRegistry()
	}
	reader, err := exporter.New(
		exporter.WithRegisterer(registry),
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		exporter.WithoutScopeInfo(),
		exporter.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, fmt.Errorf("prometheus: registering: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	telemetry, err := otel.New(otel.Options{Meter: provider})
	if err != nil {
		return nil, fmt.Errorf("prometheus: making instruments: %w", err)
	}
	return &Metrics{
		Telemetry: telemetry,
		provider:  provider,
		handler:   promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}, nil
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Close stops the collection. ctx bounds it.
func (m *Metrics) Close(ctx context.Context) error { return m.provider.Shutdown(ctx) }

// Name is the name that an instrument of package otel has for Prometheus.
func Name(i otel.Instrument) string {
	kinds := map[otel.Kind]otlptranslator.MetricType{
		otel.Counter:       otlptranslator.MetricTypeMonotonicCounter,
		otel.UpDownCounter: otlptranslator.MetricTypeNonMonotonicCounter,
		otel.Histogram:     otlptranslator.MetricTypeHistogram,
		otel.Gauge:         otlptranslator.MetricTypeGauge,
	}
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	name, err := namer.Build(otlptranslator.Metric{Name: i.Name, Unit: i.Unit, Type: kinds[i.Kind]})
	if err != nil {
		panic(err) // the table is part of the program, and a test builds every name
	}
	return name
}
