package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// Sentinels for errors.Is. What a node itself answered is a *msg.ServerError
// in the chain and matches the sentinels of package msg.
var (
	// ErrClosed: the pool, or the watch, was closed.
	ErrClosed = errors.New("closed")
	// ErrPoolTimeout: the caller's deadline passed before a connection became free.
	ErrPoolTimeout = errors.New("no connection became free")
	// ErrConnect: no connection could be opened.
	ErrConnect = errors.New("connecting failed")
	// ErrConnectTimeout: no connection could be opened within ConnectTimeout.
	ErrConnectTimeout = errors.New("connecting timed out")
	// ErrTLS: client and node do not agree on TLS: a certificate is not trusted, or
	// only one of them speaks it. It stays so until somebody changes it, so
	// nothing is tried again for it. It matches ErrConnect too.
	ErrTLS = errors.New("no agreement on TLS")
	// ErrRequestTimeout: the answer was not complete within RequestTimeout.
	ErrRequestTimeout = errors.New("request timed out")
	// ErrWatchSilent: a watch received no frame for WatchLiveness.
	ErrWatchSilent = errors.New("no frame from the watch")
	// ErrConnectionLost: the connection ended inside an exchange.
	ErrConnectionLost = errors.New("connection lost")
	// ErrNoLeader: no node took the mutation, or was found to lead, within
	// FailoverBudget.
	ErrNoLeader = errors.New("no node accepted")
	// ErrProtocol: the node sent something that is not a proper answer.
	ErrProtocol = errors.New("protocol violation")
	// ErrResponseTooLarge: the answer exceeds MaxResponseSize; its connection was
	// closed. Ask for less at once. It matches ErrProtocol too.
	ErrResponseTooLarge = errors.New("response too large")
	// ErrTooLarge: the request exceeds a size limit and was not sent.
	ErrTooLarge = errors.New("request too large")
	// ErrInvalid: the request holds a value the protocol cannot carry and was
	// not sent.
	ErrInvalid = errors.New("invalid request")
)

// OptionError is New's refusal of an option.
type OptionError struct {
	Option string // the field of Options
	Value  string // what it was set to
	Limit  string // what is allowed
}

// Error names the option, the value and the limit.
func (e *OptionError) Error() string {
	return fmt.Sprintf("pool: option %s is %s: %s", e.Option, e.Value, e.Limit)
}

// Error is the failure of one operation.
type Error struct {
	// Op is what was being done: "read", "write", "watch", ...
	Op string
	// Node is the address of the node it was done at, empty when there was none
	// or more than one (then Err is an *AttemptsError).
	Node string
	// Key is the aggregate concerned, when it is exactly one.
	Key msg.Opt[msg.Key]
	// Mutation tells that the operation changes data.
	Mutation bool
	// Sent tells that at least one byte of the request was handed to the network.
	Sent bool
	// Unsure tells that some attempt, not necessarily the last one, may have
	// been applied: then even a refusal, such as that of a version guard, may be
	// the echo of the request's own success.
	Unsure bool
	// Err is the cause.
	Err error
}

// Error returns operation, key, node, cause and, where it applies, that the
// outcome is unknown.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("pool: ")
	text.WriteString(e.Op)
	if key, ok := e.Key.Get(); ok {
		text.WriteString(" " + key.String())
	}
	if e.Node != "" {
		text.WriteString(" at " + e.Node)
	}
	text.WriteString(": " + e.Err.Error())
	if e.Ambiguous() {
		text.WriteString(": outcome unknown")
	}
	return text.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Ambiguous reports whether a mutation may have been applied although it
// failed: it was sent, and no definite refusal came back, be it of the request or
// of the connection.
func (e *Error) Ambiguous() bool {
	switch {
	case !e.Mutation || !e.Sent:
		return false
	case e.Unsure:
		return true
	case errors.Is(e.Err, ErrConnect):
		return false // refused by TLS: bytes were sent, but nobody took them
	}
	var refusal *msg.ServerError
	return !errors.As(e.Err, &refusal) || refusal.Ambiguous()
}

// SafeToRetry reports whether the request was certainly not applied and the
// same request may succeed later or on another node.
func (e *Error) SafeToRetry() bool {
	var large *BatchTooLargeError
	if e.Ambiguous() || errors.As(e.Err, &large) {
		return false
	}
	for _, final := range []error{ErrClosed, ErrTooLarge, ErrInvalid, ErrResponseTooLarge} {
		if errors.Is(e.Err, final) {
			return false
		}
	}
	var refusal *msg.ServerError
	if errors.As(e.Err, &refusal) {
		return refusal.SafeToRetry()
	}
	return true
}

// Timeout reports whether a deadline was the cause.
func (e *Error) Timeout() bool { return msg.Timeout(e.Err) }

// timeoutError is one of the timeout sentinels with the time it took.
type timeoutError struct {
	sentinel error
	after    time.Duration
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("%v after %v", e.sentinel, e.after)
}

func (e *timeoutError) Unwrap() error { return e.sentinel }
func (e *timeoutError) Timeout() bool { return true }

// ended says that the caller's context is over, and why.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// violation says that the node broke the protocol.
func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...))
}

// encodeError sorts why a request could not become a frame.
func encodeError(err error) error {
	var size *wire.SizeError
	if errors.As(err, &size) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// transportError sorts what reading or writing returned. Only the caller knows
// what a passed deadline means; it is returned as it is.
func transportError(err error) error {
	var frame *wire.FrameError
	switch {
	case errors.As(err, &frame) && frame.TooLarge:
		return fmt.Errorf("%w: %w: %w", ErrProtocol, ErrResponseTooLarge, err)
	case errors.As(err, &frame):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ErrTLS):
		return err
	case err == io.EOF:
		return fmt.Errorf("%w: closed by the node", ErrConnectionLost)
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, err)
}
