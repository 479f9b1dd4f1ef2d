package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/celeriant/celeriant-go/status"
)

// WatchGateway observes the streams of a gateway by mode, each time metrics are collected,
// until the function that it returns is called: streams is the method Streams of its server, or
// that of a web.Handler, whose watches are streams, too.
func (t *Telemetry) WatchGateway(streams func() []status.Stream) (unwatch func(), err error) {
	return t.watch(func(_ context.Context, o metric.Observer) error {
		for _, s := range streams() {
			with := metric.WithAttributes(attribute.String(mode, s.Mode), attribute.String(transport, s.Transport))
			o.ObserveInt64(t.gatewayStreams, int64(s.Open), with)
			o.ObserveInt64(t.gatewayStalled, int64(s.Stalled), with)
		}
		return nil
	}, t.gatewayStreams, t.gatewayStalled)
}

// GatewayCalled, GatewayDenied and GatewayEvicted are the hooks of a gateway:
//
//	gateway.Options{Hooks: gateway.Hooks{
//		Called: telemetry.GatewayCalled, Denied: telemetry.GatewayDenied, Evicted: telemetry.GatewayEvicted,
//	}}
//
// GatewayCalled measures a call that is no stream: the full name of its method, the name of
// its gRPC code, and how long it took. Spans of calls are otelgrpc's, see StatsHandler there.
func (t *Telemetry) GatewayCalled(method, status string, took time.Duration) {
	t.callDuration.Record(context.Background(), took.Seconds(), metric.WithAttributes(
		attribute.String(rpcSystem, "grpc"), attribute.String(rpcMethod, method), attribute.String(rpcStatus, status)))
}

// GatewayDenied counts a caller that is not known, may not do what it asks for, or is refused
// by a limit. The method is empty for a connection.
func (t *Telemetry) GatewayDenied(method, why string) {
	attributes := []attribute.KeyValue{attribute.String(reason, why)}
	if method != "" {
		attributes = append(attributes, attribute.String(rpcMethod, method))
	}
	t.gatewayDenied.Add(context.Background(), 1, metric.WithAttributes(attributes...))
}

// GatewayEvicted counts a stream that the gateway has ended, by the reason.
func (t *Telemetry) GatewayEvicted(why string) {
	t.gatewayEvictions.Add(context.Background(), 1, metric.WithAttributes(attribute.String(reason, why)))
}
