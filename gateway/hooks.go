package gateway

import (
	"context"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Hooks are told of calls and streams, for metrics. Each is nil if unused, which costs
// nothing. Hooks are called from several goroutines at once, must not block and must
// not panic. Methods are full names without the first slash, reasons the words of
// ErrorDetail.reason in small letters: both are closed sets.
type Hooks struct {
	// Called is called after each call that is no stream, refused ones included. The status
	// is the name of the gRPC code, such as "OK" or "NOT_FOUND".
	Called func(method, status string, took time.Duration)
	// Denied is called when a caller is not known, or may not do what it asks for, as the
	// audit log is, and when a limit refuses it. A running stream whose rights end counts,
	// too. The reason is that of the refusal, such as "denied", "unauthenticated",
	// "streams_per_caller", or "connections_per_address" of a connection, which is closed
	// before it has named a method: that is empty then.
	Denied func(method, reason string)
	// Evicted is called when the gateway has ended a stream that was open, and neither its
	// client left nor the gateway stops.
	Evicted func(reason string)
}

// called tells of a call that has ended.
func (s *Server) called(method string, began time.Time, err error) {
	if hook := s.opts.Hooks.Called; hook != nil {
		hook(strings.TrimPrefix(method, "/"), code.Code(status.Code(err)).String(), time.Since(began))
	}
}

// denied tells of a denial; ctx is the call's.
func (s *Server) denied(ctx context.Context, err error) {
	if hook := s.opts.Hooks.Denied; hook != nil {
		method, _ := grpc.Method(ctx) // every call has one
		hook(strings.TrimPrefix(method, "/"), toldReason(err))
	}
}

// connectionRefused tells of a connection that was closed because its address has too many.
func (s *Server) connectionRefused() {
	if hook := s.opts.Hooks.Denied; hook != nil {
		hook("", "connections_per_address")
	}
}

// toldReason is the reason that a caller is told, in small letters.
func toldReason(err error) string { return strings.ToLower(explain(err, false).detail.Reason) }

// evicted tells of the end of a stream, unless its client has left, which ends client, the
// context of the client's call, or the gateway stops, which may end a session before its call.
func (s *Server) evicted(client context.Context, err error) {
	hook := s.opts.Hooks.Evicted
	if hook == nil || err == nil || client.Err() != nil || s.ctx.Err() != nil {
		return
	}
	hook(toldReason(err))
}
