package otel

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/celeriant/celeriant-go/stream"
)

// lifetime makes the two spans that a subscription has in place of one of days: one from its
// begin until it is live for the first time, one at its end.
type lifetime struct {
	telemetry *Telemetry
	name      string
	sub       attribute.KeyValue

	mu    sync.Mutex
	began time.Time // zero before the begin, and after the end
	live  bool
}

// state takes a state of the subscription.
func (l *lifetime) state(s stream.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began.IsZero() {
		l.began = s.Since
	}
	ctx := context.Background()
	switch {
	case s.Phase == stream.Live && !l.live:
		l.live = true
		l.telemetry.span(ctx, "open "+l.name, trace.SpanKindInternal, time.Since(l.began), nil, l.sub)
	case s.Phase == stream.Closed:
		cause := s.Cause
		if errors.Is(cause, stream.ErrClosed) {
			cause = nil // the program closed it
		}
		l.telemetry.span(ctx, "end "+l.name, trace.SpanKindInternal, 0, cause, l.sub, attribute.Bool("celeriant.caught_up", l.live))
		l.began, l.live = time.Time{}, false
	}
}
