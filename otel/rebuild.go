package otel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/celeriant/celeriant-go/stream"
)

// WatchRebuild observes how much a rebuild has to handle, each time metrics are collected,
// until the function that it returns is called: rebuild is the method of that name of the
// subscription. Nothing is observed before the first measurement, and once it is no rebuild.
func (t *Telemetry) WatchRebuild(name string, rebuild func() (stream.Rebuild, bool)) (unwatch func(), err error) {
	one := metric.WithAttributes(attribute.String(group, t.groups.value(name)))
	return t.watch(func(_ context.Context, o metric.Observer) error {
		if r, is := rebuild(); is && !r.Progress.At.IsZero() {
			p := &r.Progress
			o.ObserveInt64(t.rebuildRemaining, int64(p.Versions-min(p.Versions, p.Handled)), one)
		}
		return nil
	}, t.rebuildRemaining)
}

// watch registers a callback.
func (t *Telemetry) watch(callback metric.Callback, instruments ...metric.Observable) (unwatch func(), err error) {
	registration, err := t.meter.RegisterCallback(callback, instruments...)
	if err != nil {
		return nil, err
	}
	// Unregister fails only for a registration that is none.
	return func() { _ = registration.Unregister() }, nil
}
