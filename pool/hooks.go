package pool

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Hooks are called when something happens, from the goroutine it happens in,
// several at once: they must be safe for concurrent use, must not block and
// must not call the pool. Any may be nil.
type Hooks struct {
	// Connected is called after every attempt to open a connection.
	Connected func(Connected)
	// Answered is called after every attempt at a request, whatever came of it:
	// searches for the leader and second attempts included.
	Answered func(Answered)
	// Leader is called when another node than before has proved to lead.
	Leader func(address string)
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

// answered tells the hook about an exchange begun at the time given.
func (n *node) answered(req msg.Request, began time.Time, sent bool, err error) {
	if hook := n.opts.Hooks.Answered; hook != nil {
		hook(Answered{Node: n.opts.Address, Op: req.RequestType(), Took: time.Since(began), Sent: sent, Err: err})
	}
}

func (n *node) connected(began time.Time, err error) {
	if hook := n.opts.Hooks.Connected; hook != nil {
		hook(Connected{Node: n.opts.Address, Took: time.Since(began), Err: err})
	}
}
