package pool

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/cluster"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// Hooks are called when something happens, for metrics and traces; any may be nil and
// then costs nothing. Hooks are called from the goroutine where it happens, several
// at once: they must be safe for concurrent use and should not block. Hooks may call
// the pool, Close included. A hook that panics panics in the caller's operation, if
// there is one, after everything was given back; in the background the panic is
// dropped.
type Hooks struct {
	// Done is called when an operation has ended.
	Done func(Done)
	// Answered is called after every attempt at a request, whatever came of it:
	// searches for the leader and second attempts included.
	Answered func(Answered)
	// Retried is called before an operation goes on after a pause.
	Retried func(Retried)
	// Leader is called when another node than before has proved to lead.
	Leader func(address string)
	// Connected is called after every attempt to open a connection.
	Connected func(Connected)
	// Disconnected is called when a connection was closed, by whomever.
	Disconnected func(node string)
	// Waiting is called when a caller begins to wait because all MaxConnections are
	// in use, with the number of those who wait.
	Waiting func(node string, callers int)
	// Breaker is called when a node's breaker has changed.
	Breaker func(BreakerChange)
}

// Done is an operation that has ended.
type Done struct {
	// Context is the caller's, with what it carries, such as a span.
	Context context.Context
	Op      msg.RequestType
	// Node is where it was done, or where the cause of its failure arose; empty when
	// it arose at none.
	Node string
	// Attempts is how many attempts were made, those without a connection included.
	Attempts int
	// Failed are those of the attempts that failed, in their order, at most 16; the last
	// attempt of an operation that succeeded is none of them.
	Failed []Attempt
	// Took is the time from the call to its end.
	Took time.Duration
	Err  error // nil when it succeeded
}

// Retried is an operation that goes on.
type Retried struct {
	Op    msg.RequestType
	Last  Attempt // the attempt that failed; zero when no leader was found
	Pause time.Duration
}

// Connected is an attempt to open a connection.
type Connected struct {
	Node string
	Took time.Duration
	Err  error // nil when it was opened
}

// Answered is an attempt at a request.
type Answered struct {
	Node string
	Op   msg.RequestType
	Took time.Duration // on the connection; waiting for one is left out
	Sent bool          // at least one byte was handed to the network
	Err  error         // nil when it succeeded
}

// BreakerState is whether connections to a node are opened.
type BreakerState uint8

const (
	// BreakerClosed: connections are opened.
	BreakerClosed BreakerState = iota
	// BreakerOpen: none is opened before a pause has passed.
	BreakerOpen
	// BreakerHalfOpen: one is being opened as a trial.
	BreakerHalfOpen
)

// String returns "closed", "open" or "half-open".
func (s BreakerState) String() string {
	switch s {
	case BreakerOpen:
		return "open"
	case BreakerHalfOpen:
		return "half-open"
	}
	return "closed"
}

// BreakerChange is a change of a node's breaker.
type BreakerChange struct {
	Node     string
	State    BreakerState
	Failures int // to open a connection, in a row
}

// clusterEvents are the hooks as the cluster knows them.
func (h *Hooks) clusterEvents() (e cluster.Events) {
	if h.Answered != nil {
		e.Attempt = func(a conn.Attempt) {
			h.Answered(Answered{Node: a.Node, Op: a.Operation, Took: a.Duration, Sent: a.Sent, Err: a.Err})
		}
	}
	if h.Retried != nil {
		e.Retry = func(op msg.RequestType, last conn.Attempt, pause time.Duration) {
			h.Retried(Retried{Op: op, Last: attemptOf(last), Pause: pause})
		}
	}
	if h.Leader != nil {
		e.Leader = func(_, to string) { h.Leader(to) }
	}
	return e
}

// nodeEvents are the hooks as a node knows them.
func (h *Hooks) nodeEvents() (e node.Events) {
	e.Closed, e.Waiting = h.Disconnected, h.Waiting
	if h.Connected != nil {
		e.Opened = func(node string, took time.Duration, err error) {
			h.Connected(Connected{Node: node, Took: took, Err: err})
		}
	}
	if h.Breaker != nil {
		e.Breaker = func(node string, state node.BreakerState, failures int) {
			h.Breaker(BreakerChange{Node: node, State: BreakerState(state), Failures: failures})
		}
	}
	return e
}
