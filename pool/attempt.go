package pool

import (
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
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

// String returns "no", "yes" or "unknown".
func (a Applied) String() string {
	switch a {
	case AppliedNo:
		return "no"
	case AppliedYes:
		return "yes"
	case AppliedUnknown:
		return "unknown"
	}
	return fmt.Sprintf("applied %d", uint8(a))
}

// Attempt is what is known of one try of an operation at one node.
type Attempt struct {
	// Node is the address of the node.
	Node string
	// Operation is what was sent; that of a probe for the leader is a write.
	Operation msg.RequestType
	// Connected tells that there was a connection to send it on.
	Connected bool
	// Sent tells that at least one byte was handed to the network.
	Sent bool
	// Answered tells that the node answered the request, with success or a refusal.
	Answered bool
	// Applied of a request that changes no data is always AppliedNo.
	Applied Applied
	// Err is nil after success.
	Err error
	// Duration is the time on the connection; waiting for one is left out.
	Duration time.Duration
}

func attemptOf(a conn.Attempt) Attempt {
	return Attempt{
		Node: a.Node, Operation: a.Operation, Connected: a.Connected, Sent: a.Sent, Answered: a.Answered,
		Applied: Applied(a.Applied), Err: a.Err, Duration: a.Duration,
	}
}
