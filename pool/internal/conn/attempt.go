package conn

import (
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Applied tells whether an attempt has changed data at the node.
type Applied uint8

const (
	// AppliedNo: certainly not.
	AppliedNo Applied = iota
	// AppliedYes: the node has acknowledged it.
	AppliedYes
	// AppliedUnknown: it was sent, and nothing tells.
	AppliedUnknown
)

// Attempt is what is known of one try of an operation at one node.
type Attempt struct {
	Node      string
	Operation msg.RequestType
	// Sent: at least one byte of the request was handed to the network.
	Sent bool
	// Connected: there was a connection to send it on.
	Connected bool
	// Answered: the node answered the request, with success or a refusal.
	Answered bool
	// NodeSilent: the request has timed out, and the node did not answer on another connection
	// meanwhile.
	NodeSilent bool
	// Stale: the connection was used before, and was lost, or silent without NodeSilent, so
	// that a fresh one may do better.
	Stale bool
	// Applied of a request that changes nothing is always AppliedNo.
	Applied Applied
	// Err is nil after success.
	Err error
	// Duration is the time on the connection; waiting for one is left out.
	Duration time.Duration
}

// Unsent is an attempt that ended before anything was sent.
func Unsent(node string, operation msg.RequestType, err error) Attempt {
	return Attempt{Node: node, Operation: operation, Err: err}
}

// Settle sets what follows from what was sent and what came back.
func (a *Attempt) Settle() {
	if a.Err == nil {
		if a.Answered = a.Sent; a.Operation.Mutates() {
			a.Applied = AppliedYes
		}
		return
	}
	var refusal *msg.ServerError
	refused := errors.As(a.Err, &refusal) && !errors.Is(a.Err, ErrConnect)
	a.Answered = a.Sent && refused
	switch {
	case !a.Operation.Mutates():
	case !a.Sent, errors.Is(a.Err, ErrConnect): // with TLS the refusal may follow the request
	case !refused, refusal.Ambiguous():
		a.Applied = AppliedUnknown
	}
}
