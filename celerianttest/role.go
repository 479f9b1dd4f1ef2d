package celerianttest

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// role is what a node currently is to the clients that want to change data. A
// node on its own always accepts; the request path asks all the same, at the
// place the order of checks prescribes (server semantics 3.1).
type role struct {
	// accepts tells whether the node takes mutations.
	accepts bool
	// leader is the address of the node that does, when this one knows; it may be stale.
	leader string
}

// notLeaderCodes are the answers of a node that does not accept mutations.
var notLeaderCodes = map[msg.RequestType]msg.Code{
	msg.TypeWriteRequest:          msg.CodeWriteNotLeader,
	msg.TypeTrimStartRequest:      msg.CodeTrimNotLeader,
	msg.TypeDeleteRequest:         msg.CodeDeleteNotLeader,
	msg.TypeRegisterSchemaRequest: msg.CodeSchemaNotLeader,
}

// check refuses a mutation at a node that does not accept any, before any look
// at what it contains. Protocol section 11.
func (r *role) check(t msg.RequestType) *refusal {
	code, mutates := notLeaderCodes[t]
	switch {
	case !mutates || r.accepts:
		return nil
	case r.leader == "":
		return refuse(code, "{}")
	}
	return refuse(code, fmt.Sprintf(`{"leader_address":"%s"}`, r.leader))
}
