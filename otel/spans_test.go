package otel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/otel"
	"github.com/celeriant/celeriant-go/pool"
)

// A request is a span below that of its caller, with an event for each attempt that failed:
// where, why, and whether it may have been applied.
func TestRequestsAreSpansWithTheirAttempts(t *testing.T) {
	r := newRig(t, otel.Options{})
	node := celerianttest.Run(t, celerianttest.Options{})
	dead := celerianttest.Run(t, celerianttest.Options{})
	gone := dead.Addr()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	o := pool.Options{Address: gone, SeedAddresses: []string{node.Addr()}}
	r.Pool(&o)
	p, err := pool.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(context.Background()) }() // nothing is under way
	ctx, parent := r.provider.Tracer("caller").Start(t.Context(), "order")
	if _, err := p.WriteEvents(ctx, key, []msg.Event{{Major: 1}}, msg.IDFromUint64(4), pool.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	parent.End()
	for _, s := range r.spans.Ended() {
		if s.Name() != "write" {
			continue
		}
		if s.Parent().SpanID() != parent.SpanContext().SpanID() || s.SpanKind() != trace.SpanKindClient {
			t.Errorf("the span of kind %v has the parent %v", s.SpanKind(), s.Parent())
		}
		var got []string
		for _, e := range s.Events() {
			got = append(got, e.Name+": "+render(attribute.NewSet(e.Attributes...)))
		}
		if want := "attempt failed: celeriant.applied=no error.type=_OTHER server.address=" + gone; !slices.Contains(got, want) {
			t.Errorf("the events are %q, want %q among them", got, want)
		}
		return
	}
	t.Error("the write has no span")
}

// A write whose answer was lost says so in the event of its attempt.
func TestAnAttemptThatMayHaveBeenAppliedSaysSo(t *testing.T) {
	r := newRig(t, otel.Options{})
	var o pool.Options
	r.Pool(&o)
	lost := pool.Attempt{Node: "10.0.0.1:1", Sent: true, Applied: pool.AppliedUnknown, Err: fmt.Errorf("reading: %w", context.DeadlineExceeded)}
	o.Hooks.Done(pool.Done{Op: msg.TypeWriteRequest, Attempts: 1, Failed: []pool.Attempt{lost}, Took: time.Second, Err: errors.New("no answer")})
	spans := r.spans.Ended()
	if len(spans) != 1 || len(spans[0].Events()) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	const want = "celeriant.applied=unknown error.type=timeout server.address=10.0.0.1:1"
	if got := render(attribute.NewSet(spans[0].Events()[0].Attributes...)); got != want {
		t.Errorf("the event has %s, want %s", got, want)
	}
}
