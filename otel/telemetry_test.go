package otel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/otel"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// rig is a Telemetry whose metrics and spans can be looked at.
type rig struct {
	*otel.Telemetry
	reader   *metric.ManualReader
	spans    *tracetest.SpanRecorder
	provider trace.TracerProvider
}

func newRig(t testing.TB, o otel.Options) *rig {
	t.Helper()
	r := &rig{reader: metric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	o.Meter = metric.NewMeterProvider(metric.WithReader(r.reader))
	r.provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	o.Tracer = r.provider
	telemetry, err := otel.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Telemetry = telemetry
	return r
}

// point is one value with its attributes as text.
type point struct {
	attributes string
	value      float64
}

// collect returns the points of every metric by name; of histograms the counts.
func (r *rig) collect(t *testing.T) map[string][]point {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	points := make(map[string][]point)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			var found []point
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found = append(found, point{render(p.Attributes), float64(p.Value)})
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					found = append(found, point{render(p.Attributes), float64(p.Value)})
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					found = append(found, point{render(p.Attributes), p.Value})
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					found = append(found, point{render(p.Attributes), float64(p.Count)})
				}
			default:
				t.Fatalf("%s has data of type %T", m.Name, m.Data)
			}
			points[m.Name] = found
		}
	}
	return points
}

func render(set attribute.Set) string {
	var parts []string
	for _, kv := range set.ToSlice() {
		parts = append(parts, string(kv.Key)+"="+kv.Value.String())
	}
	return strings.Join(parts, " ")
}

func has(points []point, attributes string, value float64) bool {
	return slices.Contains(points, point{attributes, value})
}

var key = msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}

// unanswered is the failure of a write that may have been applied.
type unanswered struct{}

func (unanswered) Error() string   { return "connection reset" }
func (unanswered) Ambiguous() bool { return true }

// everything has each hook report once.
func (r *rig) everything(t *testing.T) {
	t.Helper()
	hooks := r.Stream("orders")
	hooks.Commit(stream.CommitDone{Store: "sqlstore.Store", Entries: 3, Duration: time.Millisecond})
	hooks.Commit(stream.CommitDone{Store: "sqlstore.Store", Entries: 3, Duration: time.Millisecond, Err: fmt.Errorf("saving: %w", checkpoint.ErrFenced)})
	hooks.Void(stream.Change{Kind: stream.Reset, Key: key})
	hooks.Reconnect(stream.WatchLost{Cause: context.DeadlineExceeded})
	hooks.Reconciled(stream.ReconcileDone{Shard: 3, Reason: stream.ReconcileGained, Pages: 2, Entries: 2500, Duration: time.Second})
	hooks.TakenOver(stream.TakeOver{Partitions: 32, Duration: 2 * time.Second})
	second := checkpoint.Anchor{ServerTimestamp: uint64(time.Now().Add(-time.Second).UnixMilli())}
	hooks.Committed([]checkpoint.Entry{{Key: key, Cursor: checkpoint.Cursor{Version: 1, Anchor: second}}, {Key: key}})
	hooks.Partition(stream.Change{Kind: stream.Gained, Partition: 7})
	hooks.Partition(stream.Change{Kind: stream.Lost, Partition: 7, Reason: stream.Revoked})
	hooks.Partition(stream.Change{Kind: stream.Lost, Partition: 8, Reason: stream.Expired})
	consumer := r.Consumer("orders")
	consumer.Handled(operators.HandledInfo{Key: key, Duration: time.Millisecond, Err: errors.New("payment of somebody failed")})
	consumer.Verdict(operators.VerdictInfo{Verdict: operators.Park})
	var o pool.Options
	r.Pool(&o)
	o.Hooks.Done(pool.Done{Op: msg.TypeReadRequest, Took: time.Millisecond})
	o.Hooks.Done(pool.Done{Op: msg.TypeWriteRequest, Took: time.Millisecond, Err: &msg.ServerError{Code: 2011}})
	o.Hooks.Done(pool.Done{Op: msg.TypeWriteRequest, Took: time.Millisecond, Err: unanswered{}})
	o.Hooks.Retried(pool.Retried{Op: msg.TypeReadRequest})
	o.Hooks.Leader("10.0.0.1:1")
	awaits := r.Await()
	awaits.Ended(t.Context(), await.Ended{Name: "orders", Key: key, Duration: time.Millisecond})
	awaits.Ended(t.Context(), await.Ended{Name: "orders", Key: key, Duration: time.Second, Err: &await.LateError{Key: key, Reason: await.OtherLife, Err: context.DeadlineExceeded}})
	r.GatewayCalled("celeriant.gateway.v1.EventService/Read", "OK", time.Millisecond)
	r.GatewayDenied("celeriant.gateway.v1.EventService/Read", "denied")
	r.GatewayDenied("", "connections_per_address")
	r.GatewayEvicted("stalled")
	handler := operators.Chain(func(context.Context, stream.Change) error { return nil }, r.Trace("orders"))
	c := stream.Change{Kind: stream.Batch, Key: key}
	c.Batch.Events = make([]msg.Event, 4)
	if err := handler(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestHooksFillTheInstruments(t *testing.T) {
	r := newRig(t, otel.Options{})
	r.everything(t)
	points := r.collect(t)
	const orders = "messaging.consumer.group.name=orders"
	for _, test := range []struct {
		name, attributes string
		value            float64
	}{
		{"celeriant.commit.duration", "celeriant.store=sqlstore.Store " + orders, 1},
		{"celeriant.commit.duration", "celeriant.store=sqlstore.Store error.type=fenced " + orders, 1},
		{"celeriant.subscription.voids", "celeriant.kind=reset " + orders, 1},
		{"celeriant.subscription.reconnects", "error.type=timeout " + orders, 1},
		{"messaging.process.duration", "error.type=_OTHER " + orders + " messaging.operation.name=process messaging.system=celeriant", 1},
		{"celeriant.verdicts", "celeriant.verdict=park " + orders, 1},
		{"db.client.operation.duration", "db.operation.name=read db.system.name=celeriant", 1},
		{"db.client.operation.duration", "db.operation.name=write db.system.name=celeriant error.type=2011", 1},
		{"celeriant.node.leader_changes", "", 1},
		{"celeriant.write.ambiguous", "db.operation.name=write", 1},
		{"messaging.client.consumed.messages", orders + " messaging.operation.name=process messaging.system=celeriant", 4},
		{"celeriant.commit.to_ack.delay", orders, 1},
		{"celeriant.lease.lost", "celeriant.reason=expired " + orders, 1},
		{"celeriant.reconcile.duration", "celeriant.reason=gained " + orders, 1},
		{"celeriant.await.duration", "celeriant.outcome=handled " + orders, 1},
		{"celeriant.await.duration", "celeriant.outcome=other_life " + orders, 1},
		{"rpc.server.call.duration", "rpc.method=celeriant.gateway.v1.EventService/Read rpc.response.status_code=OK rpc.system.name=grpc", 1},
		{"celeriant.gateway.denied", "celeriant.reason=denied rpc.method=celeriant.gateway.v1.EventService/Read", 1},
		{"celeriant.gateway.denied", "celeriant.reason=connections_per_address", 1},
		{"celeriant.gateway.evictions", "celeriant.reason=stalled", 1},
	} {
		if !has(points[test.name], test.attributes, test.value) {
			t.Errorf("%s has %v, want %v with %q", test.name, points[test.name], test.value, test.attributes)
		}
	}
}

// TestAttributesAreThoseOfTheTable keeps the table, which dashboards are made from, true.
func TestAttributesAreThoseOfTheTable(t *testing.T) {
	r := newRig(t, otel.Options{})
	r.everything(t)
	defer r.Watch("orders", func() stream.Stats {
		return stream.Stats{Retrying: []stream.Retrying{{What: stream.WhatStore, Since: time.Now()}}}
	})()
	allowed := make(map[string][]string)
	for _, i := range otel.Instruments {
		allowed[i.Name] = i.Attributes
	}
	for name, points := range r.collect(t) {
		attributes, known := allowed[name]
		if !known {
			t.Errorf("%s is not in the table", name)
		}
		for _, p := range points {
			for part := range strings.FieldsSeq(p.attributes) {
				if key, _, found := strings.Cut(part, "="); found && !slices.Contains(attributes, key) {
					t.Errorf("%s has the attribute %s, which the table does not name", name, key)
				}
			}
			if strings.Contains(p.attributes, key.String()) || strings.Contains(p.attributes, "somebody") {
				t.Errorf("%s tells of a key or an error's text: %s", name, p.attributes)
			}
		}
	}
}

// Metrics and spans name the version of the conventions that their names are taken from, and
// the attributes of that version are spelled as it does.
func TestSchemaIsNamed(t *testing.T) {
	r := newRig(t, otel.Options{})
	r.everything(t)
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.SchemaURL != semconv.SchemaURL {
			t.Errorf("metrics name the schema %q", scope.Scope.SchemaURL)
		}
	}
	for _, s := range r.spans.Ended() {
		if got := s.InstrumentationScope().SchemaURL; got != semconv.SchemaURL {
			t.Errorf("the span %q names the schema %q", s.Name(), got)
		}
	}
	spelled := []attribute.Key{
		semconv.DBSystemNameKey, semconv.DBOperationNameKey, semconv.DBClientConnectionPoolNameKey, semconv.DBClientConnectionStateKey,
		semconv.ErrorTypeKey, semconv.ServerAddressKey, semconv.MessagingSystemKey, semconv.MessagingOperationNameKey,
		semconv.MessagingConsumerGroupNameKey, semconv.RPCSystemNameKey, semconv.RPCMethodKey, semconv.RPCResponseStatusCodeKey,
	}
	for _, i := range otel.Instruments {
		for _, a := range i.Attributes {
			if !strings.HasPrefix(a, "celeriant.") && !slices.Contains(spelled, attribute.Key(a)) {
				t.Errorf("%s has the attribute %s, which the conventions do not know", i.Name, a)
			}
		}
	}
}

func TestSubscriptionIsObservedAfterItsEnd(t *testing.T) {
	r := newRig(t, otel.Options{})
	stats := stream.Stats{State: stream.State{Phase: stream.Closed}, Unhandled: 12, OldestPending: time.Now().Add(-time.Hour), Parked: 3, Unreadable: 2}
	unwatch := r.Watch("orders", func() stream.Stats { return stats })
	points := r.collect(t)
	const orders = "messaging.consumer.group.name=orders"
	if !has(points["celeriant.subscription.state"], "celeriant.phase=closed "+orders, 1) || !has(points["celeriant.subscription.state"], "celeriant.phase=live "+orders, 0) {
		t.Errorf("states %v", points["celeriant.subscription.state"])
	}
	if !has(points["celeriant.subscription.unhandled"], orders, 12) {
		t.Errorf("unhandled %v: a consumer that ended must not look idle", points["celeriant.subscription.unhandled"])
	}
	if !has(points["celeriant.parked"], orders, 3) || !has(points["celeriant.unreadable"], orders, 2) {
		t.Errorf("parked %v, unreadable %v", points["celeriant.parked"], points["celeriant.unreadable"])
	}
	if p := points["celeriant.subscription.oldest_pending"]; len(p) != 1 || p[0].value < 3600 {
		t.Errorf("oldest pending %v, want an hour", p)
	}
	unwatch()
	if points := r.collect(t); len(points["celeriant.subscription.state"]) != 0 {
		t.Errorf("after unwatch there is %v", points)
	}
}

func TestNamesAreBounded(t *testing.T) {
	r := newRig(t, otel.Options{})
	for i := range 300 {
		defer r.Watch(fmt.Sprintf("client chosen %d", i), func() stream.Stats { return stream.Stats{} })()
	}
	points := r.collect(t)["celeriant.subscription.unhandled"]
	if len(points) != 201 {
		t.Errorf("300 names make %d series, want 200 and one for the others", len(points))
	}
}

func TestSpans(t *testing.T) {
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true})
	links := slices.Repeat([]trace.Link{{SpanContext: remote}}, 500)
	r := newRig(t, otel.Options{Links: func(stream.Change) []trace.Link { return links }})
	failure := errors.New("no")
	handler := operators.Chain(func(ctx context.Context, c stream.Change) error {
		if !c.Replay && !trace.SpanFromContext(ctx).IsRecording() {
			t.Error("the handler's context has no span")
		}
		return failure
	}, r.Trace("orders"))
	for _, replay := range []bool{false, true} {
		if err := handler(t.Context(), stream.Change{Kind: stream.Batch, Key: key, Replay: replay}); !errors.Is(err, failure) {
			t.Fatal(err)
		}
	}
	spans := r.spans.Ended()
	if len(spans) != 1 || spans[0].Name() != "process orders" || spans[0].SpanKind() != trace.SpanKindConsumer || len(spans[0].Links()) != 128 {
		t.Fatalf("%d spans, the first %+v", len(spans), spans)
	}
}

// Reconciles and take-overs, which have no handler and no single request, have spans, too.
func TestSpansOfReconcilesAndTakeOvers(t *testing.T) {
	r := newRig(t, otel.Options{})
	hooks := r.Stream("orders")
	hooks.Reconciled(stream.ReconcileDone{Shard: 3, Reason: stream.ReconcileGained, Pages: 2, Entries: 2500, Duration: time.Second})
	hooks.TakenOver(stream.TakeOver{Partitions: 32, Duration: 2 * time.Second})
	spans := r.spans.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	for i, want := range []struct {
		name, attributes string
		took             time.Duration
	}{
		{"reconcile orders", "celeriant.reason=gained celeriant.reconcile.entries=2500 celeriant.reconcile.pages=2 celeriant.shard=3 " + ofConsumer, time.Second},
		{"take_over orders", "celeriant.partitions=32 " + ofConsumer, 2 * time.Second},
	} {
		s := spans[i]
		if got := render(attribute.NewSet(s.Attributes()...)); s.Name() != want.name || got != want.attributes || s.EndTime().Sub(s.StartTime()) != want.took {
			t.Errorf("the span %q with %s takes %v, want %+v", s.Name(), got, s.EndTime().Sub(s.StartTime()), want)
		}
	}
}

func TestHooksThatWereThereAreCalled(t *testing.T) {
	r := newRig(t, otel.Options{})
	called := 0
	o := pool.Options{Hooks: pool.Hooks{Done: func(pool.Done) { called++ }}}
	r.Pool(&o)
	o.Hooks.Done(pool.Done{Op: msg.TypeReadRequest})
	if called != 1 {
		t.Errorf("the hook that was there was called %d times", called)
	}
}

// Of a commit of many cursors a bounded number is measured, the first and others spread
// behind it; of a small one each.
func TestDelaysOfACommitAreBounded(t *testing.T) {
	for n, want := range map[int]float64{1: 1, 2: 2, 16: 16, 17: 9, 512: 16, 1000: 16} {
		r := newRig(t, otel.Options{})
		entries := make([]checkpoint.Entry, n)
		for i := range entries {
			entries[i].Cursor.Anchor.ServerTimestamp = 1
		}
		r.Stream("orders").Committed(entries)
		if got := r.collect(t)["celeriant.commit.to_ack.delay"]; len(got) != 1 || got[0].value != want {
			t.Errorf("of %d cursors %v are measured, want %v", n, got, want)
		}
	}
}

// BenchmarkHooks shows what the hooks cost: of one handled change, of one commit, and of the
// delays of its 512 cursors.
func BenchmarkHooks(b *testing.B) {
	telemetry, err := otel.New(otel.Options{Meter: metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))})
	if err != nil {
		b.Fatal(err)
	}
	consumer, commits := telemetry.Consumer("orders"), telemetry.Stream("orders")
	entries := make([]checkpoint.Entry, 512)
	for i := range entries {
		entries[i].Cursor.Anchor.ServerTimestamp = uint64(time.Now().UnixMilli())
	}
	for name, hook := range map[string]func(){
		"handled":   func() { consumer.Handled(operators.HandledInfo{Duration: time.Microsecond}) },
		"commit":    func() { commits.Commit(stream.CommitDone{Entries: 512, Duration: time.Microsecond}) },
		"committed": func() { commits.Committed(entries) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				hook()
			}
		})
	}
}
