package pool

import (
	"errors"

	"github.com/celeriant/celeriant-go/msg"
)

// verdict is what a failed attempt means for the operation.
type verdict uint8

const (
	final     verdict = iota // more attempts cannot help, or must not be made
	stay                     // the node is the right one: later, again
	elsewhere                // another node may do it
)

// judge decides about a failed attempt of a mutation. unsure tells that the
// attempt may have been applied; then the verdict lets the request be sent
// again only if it cannot be applied a second time.
func judge(req msg.Request, sent bool, err error) (v verdict, unsure bool) {
	for _, hopeless := range []error{ErrClosed, ErrTooLarge, ErrInvalid, ErrPoolTimeout, ErrCredentials, msg.ErrUnauthorized} {
		if errors.Is(err, hopeless) {
			return final, false
		}
	}
	var refusal *msg.ServerError
	if !errors.As(err, &refusal) || errors.Is(err, ErrConnect) {
		return judgeTransport(req, sent, err)
	}
	switch {
	case refusal.Code.Class() == msg.ClassRedirect, refusal.Code == msg.CodeServerBusy: // of leader and follower alike
		return elsewhere, false
	case refusal.Ambiguous() && resendable(req):
		return stay, true
	case refusal.Ambiguous():
		return final, true
	case refusal.SafeToRetry():
		return stay, false
	}
	return final, false
}

// judgeTransport is judge without an answer.
func judgeTransport(req msg.Request, sent bool, err error) (verdict, bool) {
	switch {
	case !sent, errors.Is(err, ErrConnect): // with TLS the refusal may follow the request
		return elsewhere, false
	case resendable(req):
		return elsewhere, true
	}
	return final, true
}

// resendable reports whether a mutation that may have been applied can be sent
// again without being applied twice: the node itself must be able to refuse
// the second one.
func resendable(req msg.Request) bool {
	switch r := req.(type) {
	case *msg.WriteRequest:
		return guardedWrite(r)
	case *msg.DeleteRequest:
		for i := range r.Deletes {
			if !r.Deletes[i].ExpectedVersion.Set {
				return false // it might delete what was created again meanwhile
			}
		}
		return true
	case *msg.TrimStartRequest, *msg.RegisterSchemaRequest:
		return true // repeating them changes nothing
	}
	return !req.RequestType().Mutates()
}

// guardedWrite reports whether every part of a write has an expected version
// or enforced client sequences. A node takes a stored sequence of 0 for none,
// so that 0 guards nothing.
func guardedWrite(r *msg.WriteRequest) bool {
	for i := range r.Writes {
		w := &r.Writes[i]
		if w.ExpectedVersion.Set {
			continue
		}
		if !w.EnforceIdempotency {
			return false
		}
		for j := range w.Events {
			if w.Events[j].ClientSeq == 0 {
				return false
			}
		}
	}
	return true
}

// unanswered reports whether an attempt ended without a word of the node on it.
func unanswered(err error) bool {
	var refusal *msg.ServerError
	return !errors.As(err, &refusal)
}

// unreachable reports whether an attempt of a request that changes nothing
// ended for want of a connection, so that another node may serve it.
func unreachable(err error) bool {
	for _, hopeless := range []error{msg.ErrUnauthorized, ErrCredentials, ErrPoolTimeout} {
		if errors.Is(err, hopeless) {
			return false // other nodes have the same keys, and other callers the slots
		}
	}
	return errors.Is(err, ErrConnect) || errors.Is(err, ErrConnectTimeout) || errors.Is(err, ErrConnectionLost)
}

// tlsRefused reports whether no further attempt can end otherwise: node and client
// do not agree on TLS. Of several nodes all must say so.
func tlsRefused(err error) bool {
	var all *AttemptsError
	if !errors.As(err, &all) {
		return errors.Is(err, ErrTLS)
	}
	for _, a := range all.Attempts {
		if !tlsRefused(a.Err) {
			return false
		}
	}
	return len(all.Attempts) > 0
}

// passable reports whether a follower's failure lets a read go to the next
// node: everything but an answer to the question.
func passable(err error) bool {
	var refusal *msg.ServerError
	if errors.As(err, &refusal) && !errors.Is(err, ErrConnect) {
		class := refusal.Code.Class()
		return class == msg.ClassBusy || class == msg.ClassTransient
	}
	return unreachable(err) || errors.Is(err, ErrRequestTimeout) || errors.Is(err, ErrProtocol) && !errors.Is(err, ErrResponseTooLarge)
}
