package otel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/celeriant/celeriant-go/status"
)

// WatchGateway observes the streams of a gateway by mode, each time metrics are collected,
// until the function that it returns is called: streams is the method Streams of its server.
func (t *Telemetry) WatchGateway(streams func() []status.Stream) (unwatch func(), err error) {
	return t.watch(func(_ context.Context, o metric.Observer) error {
		for _, s := range streams() {
			with := metric.WithAttributes(attribute.String(mode, s.Mode))
			o.ObserveInt64(t.gatewayStreams, int64(s.Open), with)
			o.ObserveInt64(t.gatewayStalled, int64(s.Stalled), with)
		}
		return nil
	}, t.gatewayStreams, t.gatewayStalled)
}
