package otel

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// databaseSystem is the fixed value of the database conventions.
var databaseSystem = attribute.String(system, "celeriant")

// Pool adds hooks to the options of a pool, for instance through celeriant.WithPoolOptions:
// durations, retries, ambiguous writes and leader changes as counters, and a span for each
// operation. Hooks that the options have already are called, too.
func (t *Telemetry) Pool(o *pool.Options) {
	h := &o.Hooks
	h.Done = both(h.Done, t.operationDone)
	h.Retried = both(h.Retried, func(r pool.Retried) {
		attributes := withFailure([]attribute.KeyValue{attribute.String(operation, r.Op.String())}, r.Last.Err)
		t.requestRetries.Add(context.Background(), 1, metric.WithAttributes(attributes...))
	})
	h.Leader = both(h.Leader, func(string) { t.leaderChanges.Add(context.Background(), 1) })
}

// both calls the hook that was there, then the new one.
func both[T any](was, then func(T)) func(T) {
	if was == nil {
		return then
	}
	return func(v T) {
		was(v)
		then(v)
	}
}

// succeeded are the attributes of successful operations, made once for each kind.
var succeeded sync.Map // msg.RequestType → metric.MeasurementOption

func requestAttributes(op msg.RequestType, err error) metric.MeasurementOption {
	attributes := []attribute.KeyValue{databaseSystem, attribute.String(operation, op.String())}
	if err != nil {
		return metric.WithAttributes(withFailure(attributes, err)...)
	}
	if made, ok := succeeded.Load(op); ok {
		return made.(metric.MeasurementOption)
	}
	made := metric.WithAttributeSet(attribute.NewSet(attributes...))
	succeeded.Store(op, made)
	return made
}

func (t *Telemetry) operationDone(d pool.Done) {
	t.requestDuration.Record(context.Background(), d.Took.Seconds(), requestAttributes(d.Op, d.Err))
	if msg.Ambiguous(d.Err) {
		t.ambiguousWrites.Add(context.Background(), 1, metric.WithAttributes(attribute.String(operation, d.Op.String())))
	}
	ctx := d.Context
	if ctx == nil {
		ctx = context.Background()
	}
	t.spanWith(ctx, d.Op.String(), trace.SpanKindClient, d.Took, d.Err, failedAttempts(&d), databaseSystem,
		attribute.String(operation, d.Op.String()), attribute.Int("celeriant.request.attempts", d.Attempts))
}

// failedAttempts adds an event for each attempt that failed: the node, the kind of the
// error, and whether a change of data may have been applied all the same. The time of an
// attempt is not known, only its order.
func failedAttempts(d *pool.Done) func(trace.Span) {
	return func(span trace.Span) {
		for i := range d.Failed {
			a := &d.Failed[i]
			span.AddEvent("attempt failed", trace.WithAttributes(
				attribute.String(serverAddress, a.Node), attribute.String(errorType, failure(a.Err)), attribute.String("celeriant.applied", a.Applied.String())))
		}
	}
}

// WatchPool observes the connections of a pool each time metrics are collected, until the
// function that it returns is called. name names the pool. Only configured nodes have a
// gauge of their own: addresses that a node names never become an attribute.
func (t *Telemetry) WatchPool(name string, p *pool.Pool) (unwatch func(), err error) {
	pooled := attribute.String(poolName, name)
	used := metric.WithAttributes(pooled, attribute.String(poolState, "used"))
	idle := metric.WithAttributes(pooled, attribute.String(poolState, "idle"))
	callback := func(_ context.Context, o metric.Observer) error {
		s := p.Stats()
		var inUse, unused, waiting int64
		for i := range s.Nodes {
			n := &s.Nodes[i]
			inUse += int64(n.Open - n.Idle)
			unused += int64(n.Idle)
			waiting += int64(n.Waiting)
			if !n.Configured {
				continue
			}
			up := int64(1)
			if n.Breaker != pool.BreakerClosed || n.Silent {
				up = 0
			}
			o.ObserveInt64(t.nodeUp, up, metric.WithAttributes(
				attribute.String(serverAddress, n.Address), attribute.String(role, n.Leadership.String())))
		}
		o.ObserveInt64(t.connections, inUse, used)
		o.ObserveInt64(t.connections, unused, idle)
		o.ObserveInt64(t.pendingRequests, waiting, metric.WithAttributes(pooled))
		return nil
	}
	return t.watch(callback, t.connections, t.pendingRequests, t.nodeUp)
}
