package otel

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// mostDelays bounds the cursors of one commit whose delay is measured, spread over all of
// them: those of one commit differ little, and each costs as much as a change does.
const mostDelays = 16

// Stream returns hooks for the subscriptions of one name: how they open and end, reconnects, voids, reconciles,
// take-overs, storing cursors and what that took since the node's time, and leases lost against
// this process's will. Its numbers, such as the backlog, come from [Telemetry.Watch].
func (t *Telemetry) Stream(name string) stream.Hooks {
	sub := attribute.String(group, t.groups.value(name))
	one := metric.WithAttributeSet(attribute.NewSet(sub))
	kinds := make(map[stream.Kind]metric.MeasurementOption)
	for _, k := range []stream.Kind{stream.Deleted, stream.Reset, stream.Truncated, stream.Unreadable} {
		kinds[k] = metric.WithAttributeSet(attribute.NewSet(sub, attribute.String(kind, k.String())))
	}
	var stores sync.Map // of the type of a store → metric.MeasurementOption, made once
	committed := func(c *stream.CommitDone) metric.MeasurementOption {
		of := attribute.String(store, c.Store)
		if c.Err != nil {
			return metric.WithAttributes(withFailure([]attribute.KeyValue{sub, of}, c.Err)...)
		}
		if made, ok := stores.Load(c.Store); ok {
			return made.(metric.MeasurementOption)
		}
		made := metric.WithAttributeSet(attribute.NewSet(sub, of))
		stores.Store(c.Store, made)
		return made
	}
	always := []metric.RecordOption{one} // made once, not for each call
	lost := metric.WithAttributeSet(attribute.NewSet(sub, attribute.String(reason, stream.Expired.String())))
	life := &lifetime{telemetry: t, name: name, sub: sub}
	return stream.Hooks{
		State: life.state,
		Committed: func(entries []checkpoint.Entry) {
			now := time.Now()
			for i := 0; i < len(entries); i += 1 + (len(entries)-1)/mostDelays {
				if at := entries[i].Cursor.Anchor.ServerTimestamp; at > 0 {
					t.commitDelay.Record(context.Background(), max(0, now.Sub(time.UnixMilli(int64(at))).Seconds()), always...)
				}
			}
		},
		Partition: func(c stream.Change) {
			if c.Kind == stream.Lost && c.Reason != stream.Revoked {
				t.leasesLost.Add(context.Background(), 1, lost)
			}
		},
		Reconnect: func(l stream.WatchLost) {
			t.reconnects.Add(context.Background(), 1, metric.WithAttributes(withFailure([]attribute.KeyValue{sub}, l.Cause)...))
		},
		Void: func(c stream.Change) {
			t.voids.Add(context.Background(), 1, kinds[c.Kind])
		},
		Reconciled: func(r stream.ReconcileDone) {
			why := attribute.String(reason, r.Reason.String())
			t.reconcileDuration.Record(context.Background(), r.Duration.Seconds(), metric.WithAttributes(sub, why))
			t.span(context.Background(), "reconcile "+name, trace.SpanKindInternal, r.Duration, nil, sub, why,
				attribute.Int64("celeriant.shard", int64(r.Shard)), attribute.Int("celeriant.reconcile.pages", r.Pages), attribute.Int("celeriant.reconcile.entries", r.Entries))
		},
		TakenOver: func(o stream.TakeOver) {
			t.span(context.Background(), "take_over "+name, trace.SpanKindInternal, o.Duration, nil, sub, attribute.Int("celeriant.partitions", o.Partitions))
		},
		Commit: func(c stream.CommitDone) {
			t.commitDuration.Record(context.Background(), c.Duration.Seconds(), committed(&c))
			t.span(context.Background(), "commit "+name, trace.SpanKindClient, c.Duration, c.Err, sub, attribute.Int("celeriant.commit.cursors", c.Entries))
		},
	}
}

// span records a span that has just ended, as a child of the one in ctx, if there is one.
func (t *Telemetry) span(ctx context.Context, name string, kind trace.SpanKind, took time.Duration, err error, attributes ...attribute.KeyValue) {
	t.spanWith(ctx, name, kind, took, err, func(trace.Span) {}, attributes...)
}

// spanWith is span with more than attributes.
func (t *Telemetry) spanWith(ctx context.Context, name string, kind trace.SpanKind, took time.Duration, err error, more func(trace.Span), attributes ...attribute.KeyValue) {
	end := time.Now()
	_, span := t.tracer.Start(ctx, name,
		trace.WithSpanKind(kind), trace.WithTimestamp(end.Add(-took)), trace.WithAttributes(attributes...))
	if span.IsRecording() {
		more(span)
	}
	fail(span, err)
	span.End(trace.WithTimestamp(end))
}

// fail marks a span as failed.
func fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	span.SetStatus(codes.Error, err.Error())
	span.SetAttributes(attribute.String(errorType, failure(err)))
}
