// Package prometheus serves the instruments of package otel in the form that Prometheus
// scrapes.
//
//	metrics, err := prometheus.New(nil)
//	http.Handle("/metrics", metrics)
//	client, err := celeriant.Connect(address, celeriant.WithPoolOptions(metrics.Telemetry.Pool))
//
// Names follow from those of OpenTelemetry by the usual rules: dots become underscores, the
// unit and _total are appended. [Name] says which name an instrument gets. The folder holds a
// Grafana dashboard (dashboard.json) and alert rules (alerts.yml), one for each alert of
// docs/operating.md.
package prometheus
