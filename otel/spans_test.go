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
	"github.com/celeriant/celeriant-go/stream"
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

// A slice of Project is one span, which is in the context of the function, with the number of
// its changes and their links; what a predecessor has handled has none.
func TestSlicesOfProjectAreSpans(t *testing.T) {
	linked := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true})
	r := newRig(t, otel.Options{Links: func(stream.Change) []trace.Link { return slices.Repeat([]trace.Link{{SpanContext: linked}}, 50) }})
	var failure error
	apply := otel.TraceIn(r.Telemetry, "orders", func(ctx context.Context, _ string, changes []stream.Change) error {
		if !changes[0].Replay && !trace.SpanFromContext(ctx).IsRecording() {
			t.Error("the context has no span")
		}
		return failure
	})
	batch := stream.Change{Kind: stream.Batch, Key: key, Batch: msg.Batch{Events: make([]msg.Event, 2)}}
	replayed := batch
	replayed.Replay = true
	slice := []stream.Change{batch, batch, {Kind: stream.Deleted, Key: key}}
	for _, s := range []struct {
		changes []stream.Change
		err     error
	}{{slice, nil}, {[]stream.Change{replayed}, nil}, {slice, errors.New("no")}} {
		failure = s.err
		if err := apply(t.Context(), "tx", s.changes); !errors.Is(err, s.err) {
			t.Fatal(err)
		}
	}
	spans := r.spans.Ended()
	if len(spans) != 2 || spans[0].Name() != "process orders" || spans[0].SpanKind() != trace.SpanKindConsumer || len(spans[0].Links()) != 128 {
		t.Fatalf("%d spans: %+v", len(spans), spans)
	}
	if got := render(attribute.NewSet(spans[1].Attributes()...)); got != "error.type=_OTHER messaging.batch.message_count=3 "+ofConsumer+" messaging.operation.name=process messaging.system=celeriant" {
		t.Errorf("the slice that fails has %s", got)
	}
	if got := r.collect(t)["messaging.client.consumed.messages"]; len(got) != 1 || got[0].value != 6 {
		t.Errorf("%v events are counted, want 6", got)
	}
}

// A subscription has a span until it is live for the first time, and one for its end, with the
// cause if that is none of the program's own.
func TestOpeningAndEndingAreSpans(t *testing.T) {
	r := newRig(t, otel.Options{})
	begin := time.Now().Add(-time.Minute)
	hook := r.Stream("orders").State
	for _, s := range []stream.State{
		{Phase: stream.Connecting, Since: begin}, {Phase: stream.CatchingUp}, {Phase: stream.Live}, {Phase: stream.Reconnecting},
		{Phase: stream.Live}, {Phase: stream.Closed, Cause: errors.New("refused")},
		{Phase: stream.Connecting, Since: begin}, {Phase: stream.Closed, Cause: stream.ErrClosed},
	} {
		hook(s)
	}
	spans := r.spans.Ended()
	var got []string
	for _, s := range spans {
		got = append(got, s.Name()+" "+render(attribute.NewSet(s.Attributes()...)))
	}
	want := []string{
		"open orders " + ofConsumer,
		"end orders celeriant.caught_up=true error.type=_OTHER " + ofConsumer,
		"end orders celeriant.caught_up=false " + ofConsumer,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("spans %q, want %q", got, want)
	}
	if took := spans[0].EndTime().Sub(spans[0].StartTime()); took < time.Minute {
		t.Errorf("opening took %v, want a minute", took)
	}
}
