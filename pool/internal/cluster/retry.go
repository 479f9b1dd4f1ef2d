package cluster

import (
	"errors"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// decision is what a failed attempt means for a mutation.
type decision uint8

const (
	stop      decision = iota // more attempts cannot help, or must not be made
	again                     // the same node, later
	elsewhere                 // another node may do it
)

// decide is the retry of mutations.
func decide(req msg.Request, a conn.Attempt) decision {
	if hopeless(a.Err) {
		return stop
	}
	repeats := repeatability(req)
	if !a.Answered {
		switch {
		case a.Applied == conn.AppliedNo, repeats == anywhere:
			return elsewhere
		case repeats == sameNode:
			return again
		}
		return stop
	}
	var refusal *msg.ServerError
	errors.As(a.Err, &refusal)
	switch {
	case refusal.Code.Class() == msg.ClassRedirect, refusal.Code == msg.CodeServerBusy: // of leader and follower alike
		return elsewhere
	case a.Applied == conn.AppliedUnknown && repeats == never:
		return stop
	case a.Applied == conn.AppliedUnknown, refusal.SafeToRetry():
		return again
	}
	return stop
}

// hopeless reports whether every further attempt would end alike.
func hopeless(err error) bool {
	for _, final := range []error{conn.ErrClosed, conn.ErrTooLarge, conn.ErrInvalid, node.ErrPoolTimeout, conn.ErrCredentials, msg.ErrUnauthorized} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// repeats tells where a request that may have been applied can be sent again without
// being applied twice.
type repeats uint8

const (
	never    repeats = iota
	sameNode         // a promoted follower may not know the client sequence yet
	anywhere
)

func repeatability(req msg.Request) repeats {
	switch r := req.(type) {
	case *msg.WriteRequest:
		return writeRepeats(r)
	case *msg.DeleteRequest:
		for i := range r.Deletes {
			if !r.Deletes[i].ExpectedVersion.Set {
				return never // it might delete what was created again meanwhile
			}
		}
		return anywhere
	case *msg.TrimStartRequest, *msg.RegisterSchemaRequest:
		return anywhere // repeating them changes nothing
	}
	if req.RequestType().Mutates() {
		return never
	}
	return anywhere
}

// writeRepeats is decided by the part that is guarded least: by an expected version, by
// enforced client sequences, of which a node takes 0 for none, or not at all.
func writeRepeats(r *msg.WriteRequest) repeats {
	least := anywhere
	for i := range r.Writes {
		w := &r.Writes[i]
		if w.ExpectedVersion.Set {
			continue
		}
		if !w.EnforceIdempotency {
			return never
		}
		for j := range w.Events {
			if w.Events[j].ClientSeq == 0 {
				return never
			}
		}
		least = sameNode
	}
	return least
}

// unreachable reports whether an attempt at a request that changes nothing ended for want
// of a connection, so that another node may serve it.
func unreachable(err error) bool {
	for _, final := range []error{msg.ErrUnauthorized, conn.ErrCredentials, node.ErrPoolTimeout} {
		if errors.Is(err, final) {
			return false // other nodes have the same keys, and other callers the slots
		}
	}
	return errors.Is(err, conn.ErrConnect) || errors.Is(err, conn.ErrConnectTimeout) || errors.Is(err, conn.ErrConnectionLost)
}

// Unreachable is what repeats a read on one node.
func Unreachable(err error) bool { return unreachable(err) }

// Passing reports whether a read that a node has answered so may be answered better
// elsewhere, or later.
func Passing(a conn.Attempt) bool { return a.Err != nil && passable(a) }

// passable reports whether a follower's failure lets a read go to the next node:
// everything but an answer to the question.
func passable(a conn.Attempt) bool {
	if a.Answered {
		var refusal *msg.ServerError
		errors.As(a.Err, &refusal)
		class := refusal.Code.Class()
		return class == msg.ClassBusy || class == msg.ClassTransient
	}
	return unreachable(a.Err) || errors.Is(a.Err, conn.ErrRequestTimeout) ||
		errors.Is(a.Err, conn.ErrProtocol) && !errors.Is(a.Err, conn.ErrResponseTooLarge)
}
