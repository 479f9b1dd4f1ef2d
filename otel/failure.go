package otel

import (
	"context"
	"errors"
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// sentinels are the values of error.type beside codes of the protocol, "panic", "timeout",
// "canceled" and "_OTHER".
var sentinels = []struct {
	err  error
	text string
}{
	{checkpoint.ErrFenced, "fenced"},
	{checkpoint.ErrClosed, "closed"},
	{stream.ErrClosed, "closed"},
	{pool.ErrClosed, "closed"},
	{stream.ErrLagging, "lagging"},
	{pool.ErrTLS, "tls"},
	{pool.ErrProtocol, "protocol"},
}

// failure is the value of error.type: one of a closed set, never a text.
func failure(err error) string {
	var panicked *operators.PanicError
	var refused *msg.ServerError
	var waited interface{ Timeout() bool }
	switch {
	case errors.As(err, &panicked):
		return "panic"
	case errors.As(err, &refused):
		return strconv.FormatUint(uint64(refused.Code), 10)
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.text
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &waited) && waited.Timeout():
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "_OTHER"
}

// withFailure adds error.type if there is an error.
func withFailure(attributes []attribute.KeyValue, err error) []attribute.KeyValue {
	if err == nil {
		return attributes
	}
	return append(attributes, attribute.String(errorType, failure(err)))
}
