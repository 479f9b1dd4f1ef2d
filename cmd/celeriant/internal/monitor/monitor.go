package monitor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/prometheus"
	"github.com/celeriant/celeriant-go/status"
	"github.com/celeriant/celeriant-go/stream"
)

// Monitor serves the page and the metrics of one command. A Monitor of a command that is not
// to be looked at serves nothing, and each of its methods may be called all the same.
type Monitor struct {
	page     *status.Page
	metrics  *prometheus.Metrics
	server   *http.Server
	listener net.Listener
	ended    chan struct{}
}

// Open serves from now on, if --status-listen is given. ready is asked by /readyz, beside the
// consumers; nil for nothing else.
func (f *Flags) Open(ready func() error) (*Monitor, error) {
	m := new(Monitor)
	if f.listen == "" {
		return m, nil
	}
	host, _ := os.Hostname() // only to be shown
	var err error
	if m.metrics, err = prometheus.New(nil); err != nil {
		return nil, err
	}
	if m.listener, err = net.Listen("tcp", f.listen); err != nil {
		return nil, errors.Join(err, m.metrics.Close(context.Background()))
	}
	m.page = status.New(status.Options{Process: host, Ready: ready})
	mux := http.NewServeMux()
	mux.Handle("/", m.page)
	mux.Handle("GET /metrics", m.metrics)
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	m.ended = make(chan struct{})
	go func() {
		defer close(m.ended)
		_ = m.server.Serve(m.listener) // ends with Close
	}()
	return m, nil
}

// Address is where the page is served; empty if it is not.
func (m *Monitor) Address() string {
	if m.listener == nil {
		return ""
	}
	return m.listener.Addr().String()
}

// Pool adds hooks to the options of the pool that is to be opened.
func (m *Monitor) Pool(o *pool.Options) {
	if m.metrics != nil {
		m.metrics.Telemetry.Pool(o)
	}
}

// WatchPool shows the nodes and the connections of a pool.
func (m *Monitor) WatchPool(p *pool.Pool) error {
	if m.page == nil {
		return nil
	}
	m.page.WatchPool(p)
	_, err := m.metrics.Telemetry.WatchPool("celeriant", p)
	return err
}

// Stream returns the hooks of a subscription.
func (m *Monitor) Stream(name string) stream.Hooks {
	if m.metrics == nil {
		return stream.Hooks{}
	}
	return m.metrics.Telemetry.Stream(name)
}

// Consumer adds to the hooks of a consumer.
func (m *Monitor) Consumer(name string, h operators.Hooks) operators.Hooks {
	if m.metrics == nil {
		return h
	}
	measured := m.metrics.Telemetry.Consumer(name)
	h.Handled = measured.Handled
	told := h.Verdict
	h.Verdict = func(v operators.VerdictInfo) {
		measured.Verdict(v)
		if told != nil {
			told(v)
		}
	}
	return h
}

// Middleware counts the events of a consumer's handler.
func (m *Monitor) Middleware(name string) []operators.Middleware {
	if m.metrics == nil {
		return nil
	}
	return []operators.Middleware{m.metrics.Telemetry.Trace(name)}
}

// Watch shows a subscription, and what its store tells of it.
func (m *Monitor) Watch(sub stream.Consumer) error {
	if m.page == nil {
		return nil
	}
	m.page.Watch(sub)
	m.metrics.Telemetry.Watch(sub.Name(), sub.Stats)
	store, keepsRecords := sub.Store().(checkpoint.RecordStore)
	if !keepsRecords {
		return nil
	}
	m.page.WatchStore(store, sub.Name())
	_, err := m.metrics.Telemetry.WatchPartitions(sub.Name(), store)
	return err
}

// Streams are what serves streams: a gateway, or its pages for browsers.
type Streams interface {
	status.Source
	Streams() []status.Stream
}

// WatchStreams shows the streams of a gateway.
func (m *Monitor) WatchStreams(s Streams) error {
	if m.page == nil {
		return nil
	}
	m.page.Add(s)
	_, err := m.metrics.Telemetry.WatchGateway(s.Streams)
	return err
}

// Called, Denied and Evicted measure what a gateway does.
func (m *Monitor) Called(method, status string, took time.Duration) {
	if m.metrics != nil {
		m.metrics.Telemetry.GatewayCalled(method, status, took)
	}
}

// Denied counts a caller that a gateway refuses.
func (m *Monitor) Denied(method, reason string) {
	if m.metrics != nil {
		m.metrics.Telemetry.GatewayDenied(method, reason)
	}
}

// Evicted counts a stream that a gateway ends.
func (m *Monitor) Evicted(reason string) {
	if m.metrics != nil {
		m.metrics.Telemetry.GatewayEvicted(reason)
	}
}

// Close serves no more, and returns once nothing of it runs.
func (m *Monitor) Close() error {
	if m.server == nil {
		return nil
	}
	err := m.server.Close()
	<-m.ended
	return errors.Join(err, m.metrics.Close(context.Background()))
}
