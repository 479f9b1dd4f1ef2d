// Package otel turns the hooks of the library into OpenTelemetry metrics and traces.
//
//	telemetry, err := otel.New(otel.Options{Meter: provider, Tracer: tracers})
//	client, err := celeriant.Connect(address, celeriant.WithHooks(celeriant.Hooks{Await: telemetry.Await()}), celeriant.WithPoolOptions(telemetry.Pool))
//	orders := client.Watch(scope, celeriant.WithName("orders"), celeriant.WithStreamHooks(telemetry.Stream("orders")))
//	defer telemetry.Watch("orders", sub.Stats)()
//	operators.ForEach(ctx, orders, handler, operators.WithHooks(telemetry.Consumer("orders")))
//
// # Instruments
//
// [Instruments] lists every instrument with its type, unit, attributes and the question
// that it answers. Requests follow the semantic conventions for databases, handlers those
// for messaging, calls of a gateway those for RPC, all of one version, which metrics and spans
// name as their schema; names of this library's own begin with "celeriant.". The module
// prometheus serves the same instruments under the names that the usual rules make of
// these.
//
// Attributes are bounded: an aggregate, a version, a member, an address that nobody
// configured and the text of an error never become one. The attribute
// messaging.consumer.group.name holds the subscription's name, for 200 names at most; the
// others share "_other".
//
// [Telemetry.Watch], [Telemetry.WatchPool], [Telemetry.WatchPartitions], [Telemetry.WatchRebuild]
// and [Telemetry.WatchGateway] observe numbers each time metrics are collected, the others are
// counted by hooks.
//
// # Spans
//
// A request is a span of kind client in the trace of its caller, with an event for each
// attempt that failed: the node, the kind of the error, and whether a change of data may have
// been applied. A call of a handler is a span of kind consumer, by [Telemetry.Trace] for
// ForEach and [TraceIn] for Project; storing cursors, reconciling a shard, and taking
// partitions over until they are caught up with, are spans of their own. A wait for one's own
// write is a span in the trace of the request that waits. A subscription has no span, which
// would end after days, but one until it is live for the first time and one for its end. Keys
// and versions are attributes of spans alone.
//
// Without a hook set nothing is called and nothing allocated.
package otel
