package otel

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// The fixed values of the messaging conventions.
var (
	messagingSystem  = attribute.String(messaging, "celeriant")
	messagingProcess = attribute.String(messagingOp, "process")
)

// Consumer returns hooks for ForEach and Project of one name: how long handlers take, how
// many events they handle, and what follows their failures.
func (t *Telemetry) Consumer(name string) operators.Hooks {
	sub := attribute.String(group, t.groups.value(name))
	common := []attribute.KeyValue{messagingSystem, messagingProcess, sub}
	handled := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(common...))} // made once, not for each call
	judged := make(map[operators.Verdict]metric.MeasurementOption)
	for _, v := range []operators.Verdict{operators.Retry, operators.Park, operators.Skip, operators.Stop} {
		judged[v] = metric.WithAttributeSet(attribute.NewSet(sub, attribute.String(verdict, v.String())))
	}
	return operators.Hooks{
		Handled: func(h operators.HandledInfo) {
			with := handled
			if h.Err != nil {
				with = []metric.RecordOption{metric.WithAttributes(withFailure(append([]attribute.KeyValue(nil), common...), h.Err)...)}
			}
			t.processDuration.Record(context.Background(), h.Duration.Seconds(), with...)
		},
		Verdict: func(v operators.VerdictInfo) {
			t.verdicts.Add(context.Background(), 1, judged[v.Verdict])
		},
	}
}

// Trace returns middleware for the handlers of ForEach: a span of kind consumer around each
// call, which is in the handler's context, with the links that Options.Links finds. Trace
// also counts the events. Changes of a rebuild that its predecessor has handled get no
// span.
func (t *Telemetry) Trace(name string) operators.Middleware {
	sub := attribute.String(group, t.groups.value(name))
	counted := metric.WithAttributeSet(attribute.NewSet(messagingSystem, messagingProcess, sub))
	return func(next operators.Handler) operators.Handler {
		return func(ctx context.Context, c stream.Change) (err error) {
			if !c.Replay {
				var span trace.Span
				ctx, span = t.tracer.Start(ctx, "process "+name, trace.WithSpanKind(trace.SpanKindConsumer), t.links(c),
					trace.WithAttributes(messagingSystem, messagingProcess, sub,
						attribute.String("celeriant.key", c.Key.String()), attribute.Int64("celeriant.version", int64(c.Cursor.Version))))
				defer func() {
					fail(span, err)
					span.End()
				}()
			}
			if err = next(ctx, c); err != nil || c.Kind != stream.Batch {
				return err
			}
			t.consumed.Add(ctx, int64(len(c.Batch.Events)), counted)
			return nil
		}
	}
}

// TraceIn is [Telemetry.Trace] for the function that Project and ProjectIn call with a slice
// of changes in a transaction: one span for the slice, with the number of its changes and the
// links of all of them. Events are counted when the function succeeds, also where the
// transaction is then undone. A slice of which all was handled by a predecessor gets no span.
func TraceIn[Tx any](t *Telemetry, name string, apply func(context.Context, Tx, []stream.Change) error) func(context.Context, Tx, []stream.Change) error {
	sub := attribute.String(group, t.groups.value(name))
	counted := metric.WithAttributeSet(attribute.NewSet(messagingSystem, messagingProcess, sub))
	return func(ctx context.Context, tx Tx, changes []stream.Change) (err error) {
		if slices.ContainsFunc(changes, func(c stream.Change) bool { return !c.Replay }) {
			var span trace.Span
			ctx, span = t.tracer.Start(ctx, "process "+name, trace.WithSpanKind(trace.SpanKindConsumer), t.links(changes...),
				trace.WithAttributes(messagingSystem, messagingProcess, sub, attribute.Int(messageCount, len(changes))))
			defer func() {
				fail(span, err)
				span.End()
			}()
		}
		if err = apply(ctx, tx, changes); err != nil {
			return err
		}
		events := 0
		for i := range changes {
			if changes[i].Kind == stream.Batch {
				events += len(changes[i].Batch.Events)
			}
		}
		t.consumed.Add(ctx, int64(events), counted)
		return nil
	}
}

// links asks for the spans that led to changes.
func (t *Telemetry) links(changes ...stream.Change) trace.SpanStartOption {
	if t.options.Links == nil {
		return trace.WithLinks()
	}
	var links []trace.Link
	for i := 0; i < len(changes) && len(links) < mostLinks; i++ {
		found := t.options.Links(changes[i])
		links = append(links, found[:min(len(found), mostLinks-len(links))]...)
	}
	return trace.WithLinks(links...)
}
