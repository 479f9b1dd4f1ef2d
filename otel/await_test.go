package otel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/otel"
)

// Each way in which a wait ends has a word of its own, and no other text becomes one.
func TestOutcomesOfWaits(t *testing.T) {
	late := func(reason await.Reason, cause error) error {
		return fmt.Errorf("reading back: %w", &await.LateError{Reason: reason, Err: cause})
	}
	for want, err := range map[string]error{
		"handled":    nil,
		"passed":     &await.NotHandledError{},
		"behind":     late(await.Behind, context.DeadlineExceeded),
		"parked":     late(await.Parked, context.DeadlineExceeded),
		"stopped":    late(await.Stopped, context.DeadlineExceeded),
		"deleted":    late(await.Deleted, context.DeadlineExceeded),
		"other_life": late(await.OtherLife, context.DeadlineExceeded),
		"unowned":    late(await.Unowned, context.DeadlineExceeded),
		"superseded": late(await.Superseded, context.DeadlineExceeded),
		"canceled":   late(await.Behind, context.Canceled),
		"failed":     errors.New("the store says something"),
	} {
		r := newRig(t, otel.Options{})
		r.Await().Ended(t.Context(), await.Ended{Name: "orders", Err: err})
		if got := r.collect(t)["celeriant.await.duration"]; !has(got, "celeriant.outcome="+want+" "+ofConsumer, 1) {
			t.Errorf("a wait that ended with %v: %v", err, got)
		}
	}
}

// A wait is a span in the trace of the request that waits, as long as the wait.
func TestSpanOfAWait(t *testing.T) {
	r := newRig(t, otel.Options{})
	store := checkpoint.NewMemory()
	ctx, request := r.provider.Tracer("test").Start(t.Context(), "request")
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if err := await.New(store, nil, await.WithHooks(r.Await())).Await(ctx, "orders", key, 7); err == nil {
		t.Fatal("nobody handles")
	}
	r.Await().Ended(ctx, await.Ended{Name: "orders", Key: key, Version: 7, Duration: time.Hour})
	request.End()
	spans := r.spans.Ended()
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	vain, handled := spans[0], spans[1]
	for _, s := range spans[:2] {
		if s.Name() != "await" || s.Parent().SpanID() != request.SpanContext().SpanID() {
			t.Errorf("the span %q has the parent %v", s.Name(), s.Parent())
		}
		set := attribute.NewSet(s.Attributes()...)
		if v, _ := set.Value("celeriant.version"); v.AsInt64() != 7 {
			t.Errorf("the attributes are %v", s.Attributes())
		}
		if k, _ := set.Value("celeriant.key"); k.AsString() != key.String() {
			t.Errorf("the attributes are %v", s.Attributes())
		}
	}
	if vain.Status().Code != codes.Error || handled.Status().Code == codes.Error {
		t.Errorf("in vain: %v, handled: %v", vain.Status(), handled.Status())
	}
	if took := handled.EndTime().Sub(handled.StartTime()); took != time.Hour {
		t.Errorf("the span of an hour takes %v", took)
	}
}
