package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/celeriant/celeriant-go/await"
)

// Await returns hooks for those who wait until a consumer has handled their own writes: how
// long they wait, with what outcome, and a span for each wait, which belongs to the trace of
// the waiter's context.
//
//	client, err := celeriant.Connect(address, celeriant.WithHooks(celeriant.Hooks{Await: telemetry.Await()}), celeriant.WithPoolOptions(telemetry.Pool))
func (t *Telemetry) Await() await.Hooks {
	return await.Hooks{Ended: func(ctx context.Context, e await.Ended) {
		attributes := []attribute.KeyValue{
			attribute.String(group, t.groups.value(e.Name)),
			attribute.String(outcome, outcomeOf(e.Err)),
		}
		t.awaitDuration.Record(ctx, e.Duration.Seconds(), metric.WithAttributes(attributes...))
		t.span(ctx, "await", trace.SpanKindInternal, e.Duration, e.Err, append(attributes,
			attribute.String("celeriant.key", e.Key.String()), attribute.Int64("celeriant.version", int64(e.Version)))...)
	}}
}

// outcomes are the values of celeriant.outcome for waits that were in vain. The others are
// "handled", "passed" for a version that was passed over, "canceled" when the waiter gave up,
// and "failed".
var outcomes = map[await.Reason]string{
	await.Behind: "behind", await.Parked: "parked", await.Stopped: "stopped", await.Deleted: "deleted",
	await.OtherLife: "other_life", await.Unowned: "unowned", await.Superseded: "superseded",
}

// outcomeOf is the value of celeriant.outcome: one of a closed set.
func outcomeOf(err error) string {
	var late *await.LateError
	var passed *await.NotHandledError
	switch {
	case err == nil:
		return "handled"
	case errors.As(err, &passed):
		return "passed"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &late):
		return outcomes[late.Reason]
	}
	return "failed"
}
