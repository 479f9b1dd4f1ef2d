package replica

import (
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/msg"
)

// Role is what a node currently is to the clients that want to change data. A
// node on its own always accepts; the request path asks all the same, at the
// place the order of checks prescribes (server semantics 3.1).
type Role struct {
	// Accepts tells whether the node takes mutations.
	Accepts bool
	// Leader is the address of the node that does, when this one knows; it may be stale.
	Leader string
	// Term counts the changes of leadership; a node on its own stays in term 0.
	Term uint64
}

// failures are the codes of one kind of mutation when it fails for reasons
// that have nothing to do with what it contains.
type failures struct {
	notLeader, sync, replication msg.Code
}

var failuresOf = map[msg.RequestType]failures{
	msg.TypeWriteRequest:          {msg.CodeWriteNotLeader, msg.CodeWriteSync, msg.CodeWriteReplication},
	msg.TypeTrimStartRequest:      {msg.CodeTrimNotLeader, msg.CodeTrimSync, msg.CodeTrimReplication},
	msg.TypeDeleteRequest:         {msg.CodeDeleteNotLeader, msg.CodeDeleteSync, msg.CodeDeleteReplication},
	msg.TypeRegisterSchemaRequest: {msg.CodeSchemaNotLeader, msg.CodeSchemaSync, msg.CodeSchemaReplication},
}

// Check refuses a mutation at a node that does not accept any, before any look
// at what it contains. Protocol section 11.
func (r *Role) Check(t msg.RequestType) *refusal.Refusal {
	if r.Accepts {
		return nil
	}
	codes, mutates := failuresOf[t]
	switch {
	case !mutates:
		return nil
	case r.Leader == "":
		return refusal.New(codes.notLeader, "{}")
	}
	return refusal.New(codes.notLeader, fmt.Sprintf(`{"leader_address":%s}`, refusal.Quote(r.Leader)))
}
