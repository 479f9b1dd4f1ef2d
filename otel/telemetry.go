package otel

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0" // the version that names of the conventions are taken from
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/celeriant/celeriant-go/stream"
)

// scope names the library to OpenTelemetry.
const scope = "github.com/celeriant/celeriant-go/otel"

// Options choose where metrics and spans go. The zero value of a field switches that off.
type Options struct {
	// Meter provides the instruments.
	Meter metric.MeterProvider
	// Tracer provides the spans.
	Tracer trace.TracerProvider
	// Links finds the spans that led to a change, for instance from identifiers that the
	// writer put into its events, which have no headers. At most 128 links of a span are
	// kept. Default: none.
	Links func(stream.Change) []trace.Link
}

// mostLinks bounds the links of one span.
const mostLinks = 128

// Telemetry makes hooks that report to OpenTelemetry. All methods are safe for concurrent
// use; nothing has to be closed but what Watch returns.
type Telemetry struct {
	options Options
	tracer  trace.Tracer
	meter   metric.Meter
	groups  groups

	requestDuration, reconcileDuration, processDuration metric.Float64Histogram
	commitDuration, commitDelay                         metric.Float64Histogram
	awaitDuration, callDuration                         metric.Float64Histogram
	gatewayDenied, gatewayEvictions                     metric.Int64Counter
	requestRetries, ambiguousWrites, leaderChanges      metric.Int64Counter
	reconnects, voids, consumed, verdicts, leasesLost   metric.Int64Counter
	connections, pendingRequests, gatewayStreams        metric.Int64ObservableUpDownCounter
	nodeUp, subscriptionState                           metric.Int64ObservableGauge
	unhandled, buffered, parked, unreadable, partitions metric.Int64ObservableGauge
	rebuildRemaining, gatewayStalled                    metric.Int64ObservableGauge
	oldestPending, retrying, followerLag                metric.Float64ObservableGauge

	mu   sync.Mutex
	subs map[*watched]struct{}
}

// New makes a Telemetry. New fails only when the meter refuses an instrument.
func New(options Options) (*Telemetry, error) {
	if options.Meter == nil {
		options.Meter = metricnoop.NewMeterProvider()
	}
	if options.Tracer == nil {
		options.Tracer = tracenoop.NewTracerProvider()
	}
	t := &Telemetry{
		options: options,
		tracer:  options.Tracer.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:   options.Meter.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
		subs:    make(map[*watched]struct{}),
	}
	m := making{meter: t.meter}
	t.requestDuration = m.histogram(requestDuration)
	t.reconcileDuration = m.histogram(reconcileDuration)
	t.processDuration = m.histogram(processDuration)
	t.commitDuration = m.histogram(commitDuration)
	t.commitDelay = m.histogram(commitDelay)
	t.awaitDuration = m.histogram(awaitDuration)
	t.callDuration = m.histogram(callDuration)
	t.gatewayDenied = m.counter(gatewayDenied)
	t.gatewayEvictions = m.counter(gatewayEvictions)
	t.requestRetries = m.counter(requestRetries)
	t.ambiguousWrites = m.counter(ambiguousWrites)
	t.leaderChanges = m.counter(leaderChanges)
	t.reconnects = m.counter(reconnects)
	t.voids = m.counter(voids)
	t.consumed = m.counter(consumedMessages)
	t.verdicts = m.counter(verdicts)
	t.leasesLost = m.counter(leasesLost)
	t.connections = m.observedSum(connections)
	t.pendingRequests = m.observedSum(pendingRequests)
	t.nodeUp = m.observed(nodeUp)
	t.rebuildRemaining = m.observed(rebuildRemaining)
	t.gatewayStreams = m.observedSum(gatewayStreams)
	t.gatewayStalled = m.observed(gatewayStalled)
	t.subscriptionState = m.observed(subscriptionState)
	t.unhandled = m.observed(subscriptionBacklog)
	t.buffered = m.observed(buffered)
	t.parked = m.observed(parked)
	t.unreadable = m.observed(unreadable)
	t.partitions = m.observed(partitions)
	t.oldestPending = m.observedSeconds(oldestPending)
	t.retrying = m.observedSeconds(retrying)
	t.followerLag = m.observedSeconds(followerLag)
	if m.err != nil {
		return nil, m.err
	}
	_, err := t.meter.RegisterCallback(t.observe, t.subscriptionState, t.unhandled, t.buffered, t.parked, t.unreadable, t.oldestPending, t.retrying, t.followerLag)
	return t, err
}

// watched is a subscription whose numbers are observed.
type watched struct {
	group string
	stats func() stream.Stats
}

// Watch observes the numbers of a subscription, such as its backlog, each time metrics are
// collected, until the function that it returns is called. A subscription that has ended is
// observed on, as closed.
func (t *Telemetry) Watch(name string, stats func() stream.Stats) (unwatch func()) {
	w := &watched{group: t.groups.value(name), stats: stats}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs[w] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.subs, w)
	}
}

// watched are the subscriptions whose numbers are observed at present.
func (t *Telemetry) watched() []*watched {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.subs))
}

// phases are the values of the attribute celeriant.phase.
var phases = []stream.Phase{stream.Connecting, stream.CatchingUp, stream.Live, stream.Reconnecting, stream.Closed}

// observe reports the numbers of every watched subscription.
func (t *Telemetry) observe(_ context.Context, o metric.Observer) error {
	now := time.Now()
	for _, w := range t.watched() {
		s := w.stats()
		sub := attribute.String(group, w.group)
		one := metric.WithAttributes(sub)
		for _, p := range phases {
			at := int64(0)
			if s.State.Phase == p {
				at = 1
			}
			o.ObserveInt64(t.subscriptionState, at, metric.WithAttributes(sub, attribute.String(phase, p.String())))
		}
		o.ObserveInt64(t.unhandled, int64(s.Unhandled), one)
		o.ObserveInt64(t.buffered, s.Buffered, one)
		o.ObserveInt64(t.parked, int64(s.Parked), one)
		o.ObserveInt64(t.unreadable, int64(s.Unreadable), one)
		pending := 0.0
		if !s.OldestPending.IsZero() {
			pending = max(0, now.Sub(s.OldestPending).Seconds())
		}
		o.ObserveFloat64(t.oldestPending, pending, one)
		o.ObserveFloat64(t.followerLag, s.Lag.Seconds(), one)
		for _, r := range s.Retrying {
			o.ObserveFloat64(t.retrying, now.Sub(r.Since).Seconds(), metric.WithAttributes(sub, attribute.String(what, r.What)))
		}
	}
	return nil
}

// making makes instruments from the table, and remembers what was refused.
type making struct {
	meter metric.Meter
	err   error
}

func (m *making) described(name string) (unit, text string) {
	for i := range Instruments {
		if Instruments[i].Name == name {
			return Instruments[i].Unit, Instruments[i].Answers
		}
	}
	m.err = errors.Join(m.err, errors.New("otel: "+name+" is not in the table of instruments"))
	return "", ""
}

// Bounds of histograms in seconds: from a tenth of a millisecond, which a request over
// loopback takes, to minutes, which a handler may take.
var bounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

func (m *making) histogram(name string) metric.Float64Histogram {
	unit, text := m.described(name)
	made, err := m.meter.Float64Histogram(name, metric.WithUnit(unit), metric.WithDescription(text), metric.WithExplicitBucketBoundaries(bounds...))
	m.err = errors.Join(m.err, err)
	return made
}

func (m *making) counter(name string) metric.Int64Counter {
	unit, text := m.described(name)
	made, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(text))
	m.err = errors.Join(m.err, err)
	return made
}

func (m *making) observed(name string) metric.Int64ObservableGauge {
	unit, text := m.described(name)
	made, err := m.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
	m.err = errors.Join(m.err, err)
	return made
}

func (m *making) observedSum(name string) metric.Int64ObservableUpDownCounter {
	unit, text := m.described(name)
	made, err := m.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
	m.err = errors.Join(m.err, err)
	return made
}

func (m *making) observedSeconds(name string) metric.Float64ObservableGauge {
	unit, text := m.described(name)
	made, err := m.meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
	m.err = errors.Join(m.err, err)
	return made
}
