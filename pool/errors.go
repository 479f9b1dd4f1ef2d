package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// Sentinels for errors.Is. A node's own refusal is a *msg.ServerError in
// the chain and matches the sentinels of package msg.
var (
	// ErrClosed: the pool, or the watch, was closed.
	ErrClosed = conn.ErrClosed
	// ErrPoolTimeout: the caller's deadline passed before a connection became free.
	ErrPoolTimeout = node.ErrPoolTimeout
	// ErrConnect: no connection could be opened.
	ErrConnect = conn.ErrConnect
	// ErrConnectTimeout: no connection could be opened within ConnectTimeout.
	ErrConnectTimeout = conn.ErrConnectTimeout
	// ErrCredentials: the credentials or certificates for a connection could not be
	// had, so none was opened. The error says nothing about the node.
	ErrCredentials = conn.ErrCredentials
	// ErrTLS: client and node do not agree on TLS: a certificate is not trusted, or
	// only one of them speaks it. The disagreement stays until somebody mends it, so
	// nothing is tried again for it. ErrTLS matches ErrConnect too.
	ErrTLS = conn.ErrTLS
	// ErrRequestTimeout: for RequestTimeout nothing of the answer came.
	ErrRequestTimeout = conn.ErrRequestTimeout
	// ErrWatchSilent: a watch received no frame for WatchLiveness.
	ErrWatchSilent = conn.ErrWatchSilent
	// ErrConnectionLost: the connection ended inside an exchange.
	ErrConnectionLost = conn.ErrConnectionLost
	// ErrNoLeader: no node took the mutation, or was found to lead, within
	// FailoverBudget.
	ErrNoLeader = cluster.ErrNoLeader
	// ErrProtocol: the node sent something that is not a proper answer.
	ErrProtocol = conn.ErrProtocol
	// ErrResponseTooLarge: the answer exceeds MaxResponseSize; its connection was
	// closed. Ask for less at once. ErrResponseTooLarge matches ErrProtocol too.
	ErrResponseTooLarge = conn.ErrResponseTooLarge
	// ErrResponseMemory: for RequestTimeout other answers took all of ResponseMemory; the
	// connection was closed.
	ErrResponseMemory = conn.ErrMemory
	// ErrTooLarge: the request exceeds a size limit and was not sent.
	ErrTooLarge = conn.ErrTooLarge
	// ErrInvalid: the request holds a value the protocol cannot carry and was
	// not sent.
	ErrInvalid = conn.ErrInvalid
	// ErrUntrusted: credentials do not go to the address; see [Options.Trust].
	ErrUntrusted = errors.New("credentials do not go there")
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

// Error is the failure of one operation. errors.Is and errors.As look at its cause
// only; what other attempts met is in Attempts.
type Error struct {
	// Op is what was being done: "read", "write", "watch", ...
	Op string
	// Node is the address of the node where the cause arose, empty when it arose at
	// none.
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

	attempts []Attempt
	omitted  int
}

// maxErrorText bounds what an Error says about attempts other than its cause, in bytes.
const maxErrorText = 1 << 10

// Error returns operation, key, node, cause and, where it applies, that the
// outcome is unknown, and what other nodes said.
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
	e.writeOthers(&text)
	return text.String()
}

// writeOthers adds the attempts that are not the cause.
func (e *Error) writeOthers(text *strings.Builder) {
	separator, end, omitted := " (", "", e.omitted
	budget := maxErrorText
	for _, a := range e.attempts {
		if a.Err == e.Err && a.Node == e.Node {
			continue
		}
		said := a.Node + ": " + a.Err.Error()
		if len(said) > budget {
			omitted++
			continue
		}
		budget -= len(said)
		text.WriteString(separator + said)
		separator, end = "; ", ")"
	}
	if omitted > 0 {
		text.WriteString(fmt.Sprintf("%sand %d more attempts", separator, omitted))
		end = ")"
	}
	text.WriteString(end)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Attempts returns what is known of the failed attempts: of each node the latest one,
// at most 16, in the order of the first tries. Probes for the leader are among them.
func (e *Error) Attempts() []Attempt { return e.attempts }

// Ambiguous reports whether a mutation may have been applied although it
// failed: some attempt was sent, and no definite refusal of it came back.
func (e *Error) Ambiguous() bool {
	switch {
	case !e.Mutation || !e.Sent:
		return false
	case e.Unsure:
		return true
	case len(e.attempts) > 0:
		return false // each of them was not applied
	case errors.Is(e.Err, ErrConnect):
		return false // refused by TLS: bytes were sent, but nobody took them
	}
	refusal := cluster.Refusal(e.Err)
	return refusal == nil || refusal.Ambiguous()
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
	if refusal := cluster.Refusal(e.Err); refusal != nil {
		return refusal.SafeToRetry()
	}
	return true
}

// Timeout reports whether a deadline was the cause.
func (e *Error) Timeout() bool { return msg.Timeout(e.Err) }

// failed makes the public error of a failure.
func failed(op string, key msg.Opt[msg.Key], mutation bool, f *cluster.Failure) *Error {
	e := &Error{Op: op, Node: f.Node, Key: key, Mutation: mutation, Sent: f.Sent, Unsure: f.Unsure, Err: f.Err, omitted: f.Omitted}
	for _, a := range f.Attempts {
		e.attempts = append(e.attempts, attemptOf(a))
	}
	return e
}

// invalid is the refusal of an argument, before anything is sent.
func invalid(op, format string, args ...any) *Error {
	return &Error{Op: op, Err: fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))}
}

// checkContext refuses a nil context by name.
func checkContext(op string, ctx context.Context) *Error {
	if ctx == nil {
		return invalid(op, "the context is nil")
	}
	return nil
}

// BatchTooLargeError is the cause of a ReadAll that met a batch which does not
// fit an answer: larger than the node may send, which it says or shows by never
// answering while it answers other questions, or larger than MaxResponseSize.
// Versions behind it can be read.
type BatchTooLargeError struct {
	Version uint64
	Err     error // matches ErrRequestTimeout or ErrResponseTooLarge, or is the node's refusal
}

// Error names the version.
func (e *BatchTooLargeError) Error() string {
	return fmt.Sprintf("the batch at version %d does not fit an answer: %v", e.Version, e.Err)
}

// Unwrap returns what was observed.
func (e *BatchTooLargeError) Unwrap() error { return e.Err }

// SafeToRetry is false: the batch stays as large as it is.
func (e *BatchTooLargeError) SafeToRetry() bool { return false }
